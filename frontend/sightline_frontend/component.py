"""The live component's three faces; its browser half lies in live_component/."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit.components.v1 as components

from sightline_engines import wire
from sightline_frontend.settings import Settings

_FOLDER = Path(__file__).parent / "live_component"
_component = components.declare_component("sightline_live", path=str(_FOLDER))


@dataclass(frozen=True, slots=True)
class CameraChoice:
    """What the viewer asked for: a running camera or none."""

    playing: bool
    camera: str  # the browser's id of it


def show_direct(settings: Settings, wanted: wire.Settings) -> None:
    """Show the camera with boxes; frames go straight from the browser to the detector."""
    asked = {name: value for name, value in asdict(wanted).items() if value is not None}
    _component(
        face="direct",
        backend={"publicUrl": settings.public_backend_url, "port": settings.backend_port},
        settings=asked,
        quality=settings.jpeg_quality / 100,
        key="live-direct",
    )


def show_camera_choice(probe: int) -> CameraChoice:
    """Show start button and camera choice; a higher `probe` has the camera tried again."""
    value: dict[str, Any] = _component(
        face="camera", probe=probe, default={"playing": False, "camera": ""}, key="live-camera"
    )
    return CameraChoice(bool(value["playing"]), str(value["camera"]))


def show_strip(stats: dict[str, Any], box_label: str) -> None:
    """Show the figures of `LiveStats.snapshot`."""
    _component(face="strip", stats=stats, box_label=box_label, key="live-strip")
