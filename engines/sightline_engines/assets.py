"""Where the model that ships with Sightline lies."""

from __future__ import annotations

from pathlib import Path

from sightline_engines.errors import ModelFileError

SHIPPED_NAME = "sightline-webcam"


def shipped_model() -> Path:
    """Return the shipped model's file; raises ModelFileError where an install lacks it."""
    path = Path(__file__).parent / "assets" / f"{SHIPPED_NAME}.onnx"
    if not path.is_file():
        raise ModelFileError(
            f"This installation lacks its own model {path.name}. Install sightline-engines again, "
            "or in a checkout run `make train-default`."
        )
    return path
