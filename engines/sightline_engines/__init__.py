"""Sightline's engines: pictures in, boxes out. Knows nothing of HTTP, settings or metrics.

    from sightline_engines import Detector

    with Detector.load("sightline-webcam") as detector:
        for box in detector("street.jpg", conf=0.4).to_dicts(detector.labels):
            print(box["class_name"], box["score"], box["xyxy"])

Names are loaded when they are first used, so that importing the types or the wire format
costs neither a runtime nor OpenCV.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline_engines.detector import Detector
    from sightline_engines.errors import SightlineError
    from sightline_engines.load import engine_choices, load_engine
    from sightline_engines.picture import decode_picture
    from sightline_engines.pipeline import DetectOptions, detect
    from sightline_engines.types import Detections, Engine, ModelSpec

__all__ = [
    "DetectOptions",
    "Detections",
    "Detector",
    "Engine",
    "ModelSpec",
    "SightlineError",
    "decode_picture",
    "detect",
    "engine_choices",
    "load_engine",
]

_HOMES = {
    "DetectOptions": "pipeline",
    "Detections": "types",
    "Detector": "detector",
    "Engine": "types",
    "ModelSpec": "types",
    "SightlineError": "errors",
    "decode_picture": "picture",
    "detect": "pipeline",
    "engine_choices": "load",
    "load_engine": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
