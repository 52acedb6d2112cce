"""Whether a browser on this machine can have its camera."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from sightline_backend.cli.checks.check import Check, fail, ok, warn
from sightline_backend.cli.ports import listens_everywhere

_HERE = ("127.0.0.1", "localhost", "::1")


def check_camera(devices: Sequence[Path] | None = None, system: str | None = None) -> Check:
    """Say whether this machine has a camera that this user may open."""
    system = system or platform.system()
    if system == "Darwin":
        return ok(
            "camera",
            "macOS asks when the browser first wants it; if it was refused: System Settings > "
            "Privacy & Security > Camera",
        )
    if devices is None:
        devices = sorted(Path("/dev").glob("video*"))
    if not devices:
        return warn(
            "camera",
            "no /dev/video* on this machine",
            "Plug a camera in (in a container or WSL pass the device on). A browser on another "
            "machine uses its own camera and needs none here.",
        )
    usable = [device for device in devices if os.access(device, os.R_OK | os.W_OK)]
    if usable:
        return ok("camera", f"{usable[0]} can be opened by {_user()}")
    return fail(
        "camera",
        f"{devices[0]} is there, but {_user()} may not open it",
        f"Join the group that owns it, then log in again: "
        f"sudo usermod -aG {_group(devices[0])} {_user()}",
    )


def check_secure_context(host: str, frontend_port: int) -> Check:
    """Say from where browsers will give the page a camera: HTTPS and localhost only."""
    if host in _HERE:
        return ok(
            "secure context",
            f"http://localhost:{frontend_port} counts as secure: a browser on this machine gives "
            "it the camera. From other machines that takes HTTPS",
        )
    elsewhere = (
        "its other addresses" if listens_everywhere(host) else f"http://{host}:{frontend_port}"
    )
    return warn(
        "secure context",
        f"browsers give no camera to a page from {elsewhere}, only to HTTPS and localhost",
        "Put HTTPS in front (a reverse proxy with a certificate), or bring the port over: "
        f"ssh -L {frontend_port}:localhost:{frontend_port} THIS-MACHINE",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return f"user {os.getuid()}"


def _group(device: Path) -> str:
    try:
        return device.group()
    except (KeyError, OSError):
        return "video"
