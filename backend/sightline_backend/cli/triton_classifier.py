"""A classifier's files, as `sightline triton deploy --classifier` is given them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sightline_engines.errors import ModelFileError
from sightline_engines.graph import image_port
from sightline_engines.onnxfile import read_onnx
from sightline_engines.texts import LABEL_CHARS, MOST_LABELS, plain
from sightline_engines.triton.classifier import ClassifierSpec

_OURS = {"name", "path", "labels", "sha256", "precision", "static_batch"}  # the files say these
_TOLD = {field.name for field in fields(ClassifierSpec)} - _OURS


def classifier_of(name: str, file: Path, labels: Path, top_k: int | None) -> ClassifierSpec:
    """Return what a classifier is, from its ONNX file, its labels and a sidecar FILE.json.

    Raises ModelFileError saying what is wrong with which of them, and OSError.
    """
    opened = read_onnx(file)
    port = image_port(opened, file.name)
    told = _sidecar(file.with_suffix(".json"))
    if top_k is not None:
        told["top_k"] = top_k
    batch, _, height, width = port.shape
    if width and height:
        told.setdefault("input_size_wh", [width, height])
    if "input_size_wh" not in told:
        raise ModelFileError(
            f"{file.name} takes any picture size. Say which in {file.stem}.json beside it, such as "
            '{"input_size_wh": [224, 224]}.'
        )
    with file.open("rb") as whole:
        digest = hashlib.file_digest(whole, "sha256").hexdigest()
    own = {"path": file, "sha256": digest, "precision": opened.precision, "static_batch": batch}
    try:
        return TypeAdapter(ClassifierSpec).validate_python(
            {"name": name, "labels": _labels(labels), **told, **own}
        )
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelFileError(f"{file.stem}.json doesn't fit: {said}.") from error


def _labels(file: Path) -> tuple[str, ...]:
    """Return a label a line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{file.name} isn't a text in UTF-8, a label a line.") from error
    named = [plain(line, LABEL_CHARS) for line in lines]
    labels = [label for label in named if label]
    if not labels or len(labels) != len(lines) or len(labels) > MOST_LABELS:
        raise ModelFileError(
            f"{file.name} has {len(lines)} lines, of which {len(labels)} are labels; needed are 1 "
            f"to {MOST_LABELS} lines, none empty, of up to {LABEL_CHARS} printable characters."
        )
    return tuple(labels)


def _sidecar(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFileError(f"{file.name} isn't JSON: {error}.") from error
    if not isinstance(told, dict) or not told.keys() <= _TOLD:
        raise ModelFileError(
            f"{file.name} must be an object of these fields: {', '.join(sorted(_TOLD))}."
        )
    return told
