"""The JSON file beside a model file: what the file itself doesn't say, or says wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline_engines.errors import ModelFileError
from sightline_engines.texts import LABEL_CHARS, cut, plain
from sightline_engines.types import ModelSpec

_TEXT = {  # and how long each may be
    **dict.fromkeys(("name", "version", "task", "family", "sha256"), 200),
    **{"precision": 20, "licence": 200, "source": 2000},
}
_CUT = ("licence", "source")  # where they are too long, as those in a model file are
_LISTS = {"labels": LABEL_CHARS, "notes": 1000}
_PRECISIONS = ("fp32", "fp16", "int8")
_READ_FROM_FILE = ("path", "static_batch", "engine", "passport")  # tolerated in a sidecar, not read
_KNOWN = frozenset(
    {*_TEXT, *_READ_FROM_FILE} | {"input_size_wh", "labels", "preprocess", "postprocess", "notes"}
)


def sidecar_path(model: Path) -> Path:
    """Return where the sidecar of a model file lies: model.onnx -> model.json."""
    return model.with_suffix(".json")


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return a sidecar's fields, none of which is required; a missing file has none.

    Raises ModelFileError naming the field that is wrong.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"The sidecar {path.name} can't be read: {cut(str(error), 300)}."
        ) from error
    return checked_fields(data, f"The sidecar {path.name}")


def checked_fields(data: object, called: str) -> dict[str, Any]:
    """Return a sidecar's fields, texts on one line; `called` is what to call it in messages.

    Raises ModelFileError naming the field that is wrong.
    """
    if not isinstance(data, dict):
        raise ModelFileError(f"{called} must hold one JSON object.")
    unknown = sorted(set(data) - _KNOWN)
    if unknown:
        raise ModelFileError(
            f"{called} has unknown fields {cut(', '.join(unknown), 300)}; "
            f"known are {', '.join(sorted(_KNOWN))}."
        )
    fields = data | _mended(data)
    for field, wrong in _wrong_fields(fields):
        raise ModelFileError(f"{called}: {field} must be {wrong}.")
    fields |= {name: plain(fields[name], most) for name, most in _TEXT.items() if name in fields}
    fields |= {
        name: [plain(text, most) for text in fields[name]]
        for name, most in _LISTS.items()
        if name in fields
    }
    return fields


def write_sidecar(spec: ModelSpec) -> Path:
    """Write a spec beside its model file, whole or not at all, and return the path."""
    fields = asdict(spec)
    for name in _READ_FROM_FILE:
        del fields[name]
    target = sidecar_path(spec.path)
    part = target.with_name(f"{target.name}.part")
    part.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(target)
    return target


def _mended(data: dict[str, Any]) -> dict[str, str]:
    """Return the fields that are no reason to refuse a model, as they should have been."""
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    mended = {name: cut(texts[name], _TEXT[name]) for name in _CUT if name in texts}
    if "precision" in texts:
        mended["precision"] = texts["precision"].lower()
    return mended


def _wrong_fields(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (field, what it must be) for each field of a wrong type."""
    wrong = [
        (name, f"text, printable and of {most} characters at most")
        for name, most in _TEXT.items()
        if name in data and not _is_text(data[name], most)
    ]
    for name, most in _LISTS.items():
        value = data.get(name, [])
        if not isinstance(value, list) or not all(_is_text(v, most) for v in value):
            wrong.append((name, f"a list of texts, printable and of {most} characters at most"))
    if data.get("precision", "fp32") not in _PRECISIONS:
        wrong.append(("precision", f"one of {', '.join(_PRECISIONS)}"))
    size = data.get("input_size_wh", [1, 1])
    if not isinstance(size, list) or len(size) != 2 or not all(_is_side(v) for v in size):
        wrong.append(("input_size_wh", "[width, height] in pixels, 1 to 8192"))
    for name, rules in (("preprocess", _PREPROCESS), ("postprocess", _POSTPROCESS)):
        value = data.get(name, {})
        if not isinstance(value, dict) or set(value) - set(rules):
            wrong.append((name, f"an object with {', '.join(rules)}"))
            continue
        wrong += [(f"{name}.{k}", rules[k][1]) for k, v in value.items() if not rules[k][0](v)]
    return wrong


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and plain(value, most) is not None


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 8192


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_count(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and _is_number(value, low, high)


_Rules = dict[str, tuple[Callable[[object], bool], str]]

_PREPROCESS: _Rules = {
    "color": (lambda v: v in ("bgr", "rgb"), "bgr or rgb"),
    "scale": (lambda v: _is_number(v, 1e-9, 1e9), "a number above 0"),
    "letterbox": (lambda v: v in ("centre", "topleft"), "centre or topleft"),
    "pad": (lambda v: _is_count(v, 0, 255), "a grey level from 0 to 255"),
}
_POSTPROCESS: _Rules = {
    "conf": (lambda v: _is_number(v, 0, 1), "a number from 0 to 1"),
    "iou": (lambda v: _is_number(v, 0, 1), "a number from 0 to 1"),
    "max_detections": (lambda v: _is_count(v, 1, 1000), "a whole number from 1 to 1000"),
}
