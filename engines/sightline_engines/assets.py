"""Where the model that ships with Sightline lies: one training, in two precisions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from sightline_engines.errors import ModelFileError

SHIPPED_NAME = "sightline-webcam"
# By precision what each file is called; fp32 first, which serves unless the other is asked for.
SHIPPED_FILES: Mapping[str, str] = MappingProxyType(
    {"fp32": SHIPPED_NAME, "int8": f"{SHIPPED_NAME}-int8"}
)
SHIPPED_PRECISIONS: Mapping[str, str] = MappingProxyType(
    {name: precision for precision, name in SHIPPED_FILES.items()}
)
RESERVED = frozenset(SHIPPED_FILES.values()) - {SHIPPED_NAME}  # casefolded; of files, not models

ASSETS = Path(__file__).parent / "assets"


def shipped_model(precision: str = "fp32") -> Path:
    """Return the shipped model's file; raises ModelFileError where an install lacks it."""
    if precision not in SHIPPED_FILES:
        raise ModelFileError(
            f"{SHIPPED_NAME} doesn't ship in {precision}, but in {' and '.join(SHIPPED_FILES)}."
        )
    path = shipped_path(precision)
    if not path.is_file():
        raise ModelFileError(
            f"This installation lacks its own model {path.name}. Install sightline-engines again, "
            "or in a checkout run `make train-default`."
        )
    return path


def shipped_path(precision: str) -> Path:
    """Return where a precision's file lies, whether or not it does."""
    return ASSETS / f"{SHIPPED_FILES.get(precision, f'{SHIPPED_NAME}-{precision}')}.onnx"
