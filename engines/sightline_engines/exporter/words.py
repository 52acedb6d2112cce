"""The command line's words for inputs, axes and numbers, as the configurations take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast, get_args

from sightline_engines.exporter.options import InputType

_TYPES: tuple[str, ...] = get_args(InputType)


@dataclass(frozen=True, slots=True)
class Inputs:
    """A model's inputs, in order."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    types: dict[str, InputType] = field(default_factory=dict)


def read_inputs(texts: Sequence[str]) -> Inputs:
    """Read "name:3x224x224" and "name:128:int64"; raises ValueError."""
    found = Inputs()
    for text in texts:
        name, _, rest = text.partition(":")
        sides, _, kind = rest.partition(":")
        kind = kind or "float32"
        parts = sides.lower().split("x")
        if not name or not all(_is_number(side) for side in parts) or kind not in _TYPES:
            raise ValueError(
                f"--input {text!r}: write it as name:3x224x224 or name:128:int64, without the "
                f"batch; the kinds are {', '.join(_TYPES)}"
            )
        if name in found.shapes:
            raise ValueError(f"--input names {name} twice")
        found.shapes[name] = tuple(int(side) for side in parts)
        found.types[name] = cast("InputType", kind)
    return found


def read_axes(texts: Sequence[str]) -> dict[str, dict[int, str]]:
    """Read "name:2=height,3=width", the batch being axis 0; raises ValueError."""
    found: dict[str, dict[int, str]] = {}
    for text in texts:
        name, _, rest = text.partition(":")
        pairs = [part.partition("=") for part in rest.split(",")]
        if not name or not all(_is_number(axis) and called for axis, _, called in pairs):
            raise ValueError(
                f"--dynamic-axes {text!r}: write it as name:2=height,3=width, the batch being axis "
                "0 and open by itself"
            )
        found.setdefault(name, {}).update({int(axis): called for axis, _, called in pairs})
    return found


def read_ranges(texts: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Read "height:32..640"; raises ValueError."""
    found = {}
    for text in texts:
        name, _, rest = text.partition(":")
        least, dots, most = rest.partition("..")
        if not name or not dots or not (_is_number(least) and _is_number(most)):
            raise ValueError(f"--axis-range {text!r}: write it as height:32..640")
        found[name] = int(least), int(most)
    return found


def read_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read "1,2,4"; nothing for an empty text. Raises ValueError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(_is_number(part) for part in parts):
        raise ValueError(f"{option} {text!r}: write numbers with commas, such as 1,4,8")
    return tuple(int(part) for part in parts)


def read_gpus(text: str | None) -> tuple[int, ...] | None:
    """Read "0,1" as GPUs, "cpu" as none of them, nothing as Triton's own choice."""
    if text is None:
        return None
    return () if text.strip().lower() == "cpu" else read_numbers("--gpus", text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
