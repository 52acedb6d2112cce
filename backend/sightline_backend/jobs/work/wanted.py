"""Which file an engine runs at a precision, found among a version's artefacts or made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sightline_backend.store.records import SHIPPED, Artefact, Version
from sightline_engines.convert.options import Precision
from sightline_engines.graph import image_port
from sightline_engines.onnxfile import read_onnx
from sightline_engines.types import Format, ModelSpec

_STEP = 32  # pixels: the sides of an input are multiples of it


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that would do."""

    format: Format
    precision: Precision
    note: str = ""  # where it isn't the best for the engine


def wanted(engine: str, precision: Precision, why_no_ir: str | None) -> Wanted:
    """Return what an engine runs at a precision; never another precision.

    fp32 is the ONNX itself on both of the processor's engines. `why_no_ir` says why OpenVINO's
    own INT8 can't be made here; then it runs the ONNX one, and a note says so.
    """
    match engine, precision:
        case "tensorrt", _:
            return Wanted(Format.TENSORRT, precision)
        case ("onnxruntime", _) | ("openvino", "fp32"):
            return Wanted(Format.ONNX, precision)
        case "openvino", "int8" if why_no_ir:
            return Wanted(
                Format.ONNX, precision, f"OpenVINO runs the ONNX that was made INT8: {why_no_ir}"
            )
        case _:
            return Wanted(Format.OPENVINO, precision)


def found(
    version: Version, want: Wanted, size_wh: tuple[int, int], dataset: str | None = None
) -> Artefact | None:
    """Return the newest artefact that is just that, None if there is none.

    `dataset` names pictures that INT8 has to be calibrated on, as `usable` has it.
    """
    for artefact in usable(version, dataset):
        spec = artefact.spec
        if spec is None or (artefact.format, artefact.precision) != (want.format, want.precision):
            continue
        if size_wh == spec.input_size_wh:
            return artefact
    return None


def usable(version: Version, dataset: str | None) -> Sequence[Artefact]:
    """Return a version's artefacts, the newest first, and last what ships.

    INT8 that ships is left out where pictures are named: it wasn't calibrated on those.
    """
    newest = sorted(reversed(version.artefacts), key=lambda one: one.origin == SHIPPED)
    return [one for one in newest if dataset is None or not one.is_shipped_int8]


def source_of(version: Version) -> Artefact | None:
    """Return the fp32 source that all others are made from and compared with."""
    for artefact in version.artefacts:
        if artefact.format is Format.ONNX and artefact.precision == "fp32":
            return artefact
    return next((a for a in version.artefacts if a.spec is None), None)


def at_size(spec: ModelSpec, size_wh: tuple[int, int] | None) -> ModelSpec | None:
    """Return a spec at another input size, None where the file's own is fixed.

    Raises ModelFileError.
    """
    if size_wh is None or size_wh == spec.input_size_wh:
        return spec
    if spec.format is not Format.ONNX or any(side % _STEP for side in size_wh):
        return None
    height, width = image_port(read_onnx(spec.path), spec.path.name).shape[2:]
    if (width or size_wh[0], height or size_wh[1]) != size_wh:
        return None
    return replace(spec, input_size_wh=size_wh)
