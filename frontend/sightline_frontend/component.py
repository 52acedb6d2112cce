"""The live component's three faces; its browser half lies in live_component/."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit.components.v1 as components

from sightline_engines.draw import Color, class_color
from sightline_frontend.controls import Choice
from sightline_frontend.settings import Settings

_FOLDER = Path(__file__).parent / "live_component"
_COLOURS = 80  # classes beyond share them
_component = components.declare_component("sightline_live", path=str(_FOLDER))


@dataclass(frozen=True, slots=True)
class CameraChoice:
    """What the viewer asked for: a running camera or none."""

    playing: bool
    camera: str  # the browser's id of it


def show_direct(settings: Settings, choice: Choice) -> None:
    """Show the camera with boxes; frames go straight from the browser to the detector."""
    asked = {k: v for k, v in asdict(choice.settings).items() if v is not None}
    _component(
        face="direct",
        backend={"publicUrl": settings.public_backend_url, "port": settings.backend_port},
        settings=asked,
        input_size_wh=choice.input_size_wh,
        quality=settings.jpeg_quality / 100,
        colours=[_css(class_color(class_id)) for class_id in range(_COLOURS)],
        key="live-direct",
    )


def _css(bgr: Color) -> str:
    blue, green, red = bgr
    return f"#{red:02x}{green:02x}{blue:02x}"


def show_camera_choice(probe: int) -> CameraChoice:
    """Show start button and camera choice; a higher `probe` has the camera tried again."""
    value: dict[str, Any] = _component(
        face="camera", probe=probe, default={"playing": False, "camera": ""}, key="live-camera"
    )
    return CameraChoice(bool(value["playing"]), str(value["camera"]))


def show_strip(stats: dict[str, Any], box_label: str) -> None:
    """Show the figures of `LiveStats.snapshot`."""
    _component(face="strip", stats=stats, box_label=box_label, key="live-strip")
