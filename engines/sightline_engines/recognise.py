"""Find out what a model file is: sidecar first, then its metadata, then its shapes."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from sightline_engines.errors import ModelFileError
from sightline_engines.graph import image_port, output_shape
from sightline_engines.labels import COCO_LABELS
from sightline_engines.layout import class_count, family_of
from sightline_engines.onnxfile import OnnxFile, read_onnx
from sightline_engines.recognise_ir import recognise_ir
from sightline_engines.sidecar import read_sidecar, sidecar_path
from sightline_engines.texts import LABEL_CHARS, MOST_LABELS, cut, plain
from sightline_engines.types import (
    Family,
    Format,
    ModelSpec,
    Postprocess,
    Preprocess,
    format_of,
)

_DEFAULT_SIDE = 640  # what nearly every exporter uses
_YOLOX_PREPROCESS = Preprocess("bgr", 1.0, "topleft", 114)


def recognise(path: Path) -> ModelSpec:
    """Return everything needed to run a model file.

    Raises ModelFileError naming what was found and what is supported.
    """
    if format_of(path) is Format.OPENVINO:
        return recognise_ir(path)
    file = read_onnx(path)
    sidecar = read_sidecar(sidecar_path(path))
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    _check_task(file, sidecar, path.name)
    if sidecar.get("sha256", digest) != digest:
        raise ModelFileError(
            f"{sidecar_path(path).name} was written for another file than {path.name} (their "
            "SHA-256 differ). Remove the sidecar, or add the model again."
        )
    notes: list[str] = []
    port = image_port(file, path.name)
    size_wh = _input_size(file, port.shape, sidecar, path.name, notes)
    shape = output_shape(file, size_wh, path.name)
    family, preprocess = _family(file, shape, size_wh, sidecar, path.name)
    labels = _labels(file, class_count(family, shape), sidecar, path.name, notes)
    spec = ModelSpec(
        name=sidecar.get("name") or path.stem,
        path=path,
        family=family,
        input_size_wh=size_wh,
        labels=labels,
        version=sidecar.get("version", digest[:8]),
        precision=sidecar.get("precision", file.precision),
        static_batch=port.shape[0],
        preprocess=replace(preprocess, **sidecar.get("preprocess", {})),
        postprocess=Postprocess(**sidecar.get("postprocess", {})),
        licence=sidecar.get("licence") or cut(file.metadata.get("license", ""), 200) or "unknown",
        source=sidecar.get("source") or cut(file.metadata.get("description", ""), 2000),
        sha256=digest,
        notes=tuple(notes) + tuple(sidecar.get("notes", ())),
    )
    return spec


def _check_task(file: OnnxFile, sidecar: dict[str, Any], name: str) -> None:
    task = sidecar.get("task") or file.metadata.get("task", "detect")
    if task != "detect":
        raise ModelFileError(
            f"{name} was made for the task '{cut(task, 80)}'; supported is 'detect'."
        )


def _input_size(
    file: OnnxFile,
    shape: tuple[int | None, ...],
    sidecar: dict[str, Any],
    name: str,
    notes: list[str],
) -> tuple[int, int]:
    """Return (width, height): the file's own where it is fixed, else what is asked for."""
    height, width = shape[2:]
    asked = sidecar.get("input_size_wh") or _imgsz(file.metadata)
    if width and height:
        if "input_size_wh" in sidecar and tuple(asked or ()) != (width, height):
            raise ModelFileError(
                f"The sidecar of {name} says input size {asked}, the file is fixed at "
                f"[{width}, {height}]. Correct input_size_wh or leave it out."
            )
        return width, height
    if asked is None:
        notes.append(f"The file takes any picture size; {_DEFAULT_SIDE}x{_DEFAULT_SIDE} assumed.")
        asked = [_DEFAULT_SIDE, _DEFAULT_SIDE]
    if asked[0] % 32 or asked[1] % 32:
        raise ModelFileError(
            f"{name}: the input size {asked[0]}x{asked[1]} is not a multiple of 32."
        )
    return width or asked[0], height or asked[1]


def _imgsz(metadata: dict[str, str]) -> list[int] | None:
    """Read Ultralytics' imgsz, written [height, width]."""
    value = _literal(metadata.get("imgsz", ""))
    if isinstance(value, int) and 0 < value <= 8192:
        return [value, value]
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(v, int) and 0 < v <= 8192 for v in value)
    ):
        return [value[1], value[0]]
    return None


def _family(
    file: OnnxFile,
    shape: tuple[int | None, ...],
    size_wh: tuple[int, int],
    sidecar: dict[str, Any],
    name: str,
) -> tuple[Family, Preprocess]:
    """Return the family and how it is trained to see pictures."""
    if "family" in sidecar:
        try:
            family = Family(sidecar["family"])
        except ValueError as error:
            known = ", ".join(Family)
            raise ModelFileError(
                f"The sidecar of {name} says family '{sidecar['family']}'; known are {known}."
            ) from error
    else:
        names = sidecar.get("labels") or _names(file.metadata)
        end2end = file.metadata.get("end2end") == "True"
        family = family_of(shape, size_wh, len(names) if names else None, end2end, name)
    if family is not Family.YOLOX:
        return family, Preprocess()
    # YOLOX exported with its grid decoded ends in the same layout as YOLOv5: the raw head
    # leaves exp() of the sizes to the reader, so an Exp in the graph tells them apart.
    decoded = "family" not in sidecar and file.has_op("Exp")
    return (Family.YOLOV5 if decoded else family), _YOLOX_PREPROCESS


def _labels(
    file: OnnxFile,
    count: int | None,
    sidecar: dict[str, Any],
    name: str,
    notes: list[str],
) -> tuple[str, ...]:
    """Return the class names: sidecar, metadata, COCO's where 80, else made up and noted."""
    labels = sidecar.get("labels") or _names(file.metadata)
    if labels:
        if count is not None and len(labels) != count:
            raise ModelFileError(
                f"{name} has {count} classes, but {len(labels)} labels are given. Write the right "
                f"labels into {sidecar_path(Path(name)).name}."
            )
        return _checked(labels, name)
    if count is None:
        notes.append("The file doesn't say its classes; they are shown as numbers.")
        return ()
    if count == len(COCO_LABELS):
        notes.append("The file names no classes; having 80, COCO's are assumed.")
        return COCO_LABELS
    notes.append("The file names no classes; write labels into the sidecar to name them.")
    return tuple(f"class_{i}" for i in range(count))


def _checked(labels: list[str], name: str) -> tuple[str, ...]:
    """Return labels as they are shown everywhere; raises ModelFileError."""
    if len(labels) > MOST_LABELS:
        raise ModelFileError(f"{name} has {len(labels)} labels; there may be {MOST_LABELS}.")
    shown = [plain(label, LABEL_CHARS) for label in labels]
    for number, label in enumerate(shown):
        if label is None:
            raise ModelFileError(
                f"The label of class {number} in {name} is longer than {LABEL_CHARS} characters, "
                f"or can't be printed. Write labels into {sidecar_path(Path(name)).name}."
            )
    return tuple(label for label in shown if label is not None)


def _names(metadata: dict[str, str]) -> list[str] | None:
    """Read Ultralytics' names, a Python dict or list as text."""
    value = _literal(metadata.get("names", ""))
    if isinstance(value, dict) and set(value) == set(range(len(value))):
        value = [value[i] for i in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(v, str | int | float) for v in value):
        return None
    try:
        return [str(v) for v in value]
    except ValueError:  # a number of more digits than Python writes
        return None


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
