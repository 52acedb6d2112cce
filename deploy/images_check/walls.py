"""What each container may do: its user, its root, its rights, its ports, its image's size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deploy.images_check.stack import ONE_SHOT, CheckFailed, Stack, run

PUBLISHED = ("backend", "frontend", "grafana")
# The aim for the frontend is 500, and is missed: this guards against growth.
LIMITS_MB = {"backend": 600, "frontend": 700}


def check_walls(stack: Stack) -> Iterator[str]:
    """Yield what was seen of each service; raises CheckFailed."""
    for service in (*stack.services, ONE_SHOT):
        found = stack.inspect(service)
        problems = [*open_walls(found), *published(service, found)]
        if problems:
            raise CheckFailed(f"{service}: {'; '.join(problems)}")
        yield f"{service}: user {found['Config']['User']}, root read-only, no capabilities"
    for service in ("backend", "frontend"):
        _write_outside_volumes(stack, service)
    yield "backend and frontend can't write beside /tmp and their volumes"


def check_sizes(stack: Stack, *, strict: bool) -> Iterator[str]:
    """Yield each image's size; where strict, raises CheckFailed for one that is too large."""
    large = []
    for service in stack.services:
        image = stack.inspect(service)["Config"]["Image"]
        size_mb = json.loads(run(["docker", "image", "inspect", image]))[0]["Size"] / 1e6
        limit = LIMITS_MB.get(service)
        over = limit is not None and size_mb >= limit
        verdict = f", limit {limit} MB{': too large' if over else ''}" if limit else ""
        yield f"{service}: {image}, {size_mb:.0f} MB{verdict}"
        if over:
            large.append(service)
    if large and strict:
        raise CheckFailed(f"too large: {', '.join(large)}")


def open_walls(found: dict[str, Any]) -> Iterator[str]:
    """Yield what a container may do and shouldn't; `found` is what `docker inspect` says of it."""
    host = found["HostConfig"]
    if found["Config"]["User"].split(":")[0] in ("", "0", "root"):
        yield "runs as root"
    if not host["ReadonlyRootfs"]:
        yield "its root can be written"
    if host["CapDrop"] != ["ALL"] or host["CapAdd"]:
        yield f"has capabilities (drops {host['CapDrop']}, adds {host['CapAdd']})"
    if "no-new-privileges:true" not in (host["SecurityOpt"] or ()):
        yield "may gain privileges"
    if not host["Memory"] or not host["PidsLimit"]:
        yield "has no limit of memory or of processes"
    if host["Privileged"] or host["NetworkMode"] == "host":
        yield "is not shut off from the machine"


def published(service: str, found: dict[str, Any]) -> Iterator[str]:
    """Yield the ports that shouldn't be published."""
    bound = [one for all_ in found["HostConfig"]["PortBindings"].values() for one in all_]
    if bound and service not in PUBLISHED:
        yield f"is published at {bound}"
    for one in bound:
        if one["HostIp"] != "127.0.0.1":
            yield f"is published beyond this machine, at {one['HostIp']}"


def _write_outside_volumes(stack: Stack, service: str) -> None:
    for path in ("/opt/sightline/x", "/etc/x", "/x"):
        try:
            stack.compose("exec", "-T", service, "touch", path)
        except CheckFailed:
            continue
        raise CheckFailed(f"{service} could write {path}")
