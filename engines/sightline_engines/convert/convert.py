"""Make one artefact of a model from another: the one place where the way is chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from onnx import ModelProto

from sightline_engines.convert.calibration import Samples, calibration_samples
from sightline_engines.convert.half import half
from sightline_engines.convert.ir import missing_nncf, write_ir
from sightline_engines.convert.options import Converted, ConvertOptions, Precision
from sightline_engines.convert.parity import check_parity
from sightline_engines.convert.plan import build_plan, can_build
from sightline_engines.convert.prepare import cannot_resize, prepare
from sightline_engines.convert.quantise import quantise
from sightline_engines.convert.rendered import rendered_pictures
from sightline_engines.convert.session import run_float
from sightline_engines.convert.simplify import simplify
from sightline_engines.device import CPU
from sightline_engines.errors import ModelFileError
from sightline_engines.irfile import ir_digest
from sightline_engines.onnxrt import missing_provider
from sightline_engines.ov import missing_openvino
from sightline_engines.preprocess import preprocess
from sightline_engines.progress import Progress, part, quiet
from sightline_engines.sidecar import write_sidecar
from sightline_engines.types import Format, ModelSpec

_RESIZED = ".resized.onnx"  # the source at another size, for as long as it is compared with
_LOOKED_AT = 2  # pictures that a step of the conversion is checked with

_ON_CPU = {
    (Format.ONNX, "fp16"): "FP16 ONNX is for GPUs: on a processor it is computed in fp32, with "
    "casts.",
    (Format.OPENVINO, "fp16"): "FP16 IR has weights of half the size; on a processor it is "
    "computed in fp32.",
    (Format.ONNX, "int8"): "INT8 ONNX can be slower than fp32 with ONNX Runtime on a processor; "
    "OpenVINO's INT8 is the faster one there. Measure before you promote it.",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A source at the wanted size, simplified, and what was noticed on the way."""

    model: ModelProto
    spec: ModelSpec  # at the wanted size; its file is the source's or, resized, one of its own
    looked_at: Samples
    notes: tuple[str, ...]


def convert(
    source: ModelSpec,
    options: ConvertOptions,
    pictures: Sequence[Path],
    folder: Path,
    progress: Progress = quiet,
) -> Converted:
    """Make `options.format` of an ONNX model in `folder`, run it once and compare it.

    `pictures` calibrate INT8 and are what both models are compared on; with none the comparison
    is on drawn pictures, and INT8 is refused. Blocks for seconds to minutes.
    Raises ModelFileError, ProviderError for a missing library, ParityError.
    """
    _check(source, options, pictures)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.format is Format.TENSORRT:
            made = build_plan(source, options, pictures, folder, part(progress, 0, 0.85))
            ready = _ready(source, options, folder)
        else:
            progress(0.0, "simplifying the model")
            ready = _ready(source, options, folder)
            made = _made(ready, options, pictures, folder, part(progress, 0.05, 0.8))
        # Loads the new file as for serving, which runs it once.
        parity = check_parity(ready.spec, made, pictures, part(progress, 0.85, 1.0))
    finally:
        (folder / _RESIZED).unlink(missing_ok=True)
    found = [n for n in made.notes[len(source.notes) :] if n not in _ON_CPU.values()]
    notes = (*dict.fromkeys((*ready.notes, *found, *_about(made, pictures))),)
    made = replace(made, notes=(*source.notes, *notes))
    if made.format is not Format.TENSORRT:
        write_sidecar(made)
    progress(1.0, "done")
    return Converted(made, parity, notes)


def can_make(format: Format, precision: Precision) -> str | None:
    """Return why a format and precision can't be made here, None where they can; cheap."""
    if format is Format.TORCH:
        return "a PyTorch checkpoint is where a model comes from, nothing is converted to it"
    reason = missing_provider(CPU) or _missing_onnxslim()  # each way starts from checked ONNX
    if reason is None and format is Format.OPENVINO:
        reason = missing_openvino() or (missing_nncf() if precision == "int8" else None)
    if reason is None and format is Format.TENSORRT:
        reason = can_build()
    return reason


def _check(source: ModelSpec, options: ConvertOptions, pictures: Sequence[Path]) -> None:
    if source.format is not Format.ONNX:
        raise ModelFileError(
            f"{source.path.name} is {source.format}; conversions start from the model's ONNX file."
        )
    if source.precision not in ("fp32", options.precision):
        raise ModelFileError(
            f"{source.path.name} is {source.precision} already, and {options.precision} made of it "
            "would not be. Convert the model's fp32 ONNX file."
        )
    if options.precision == "int8" and source.precision != "int8" and not pictures:
        raise ModelFileError(
            "INT8 needs pictures like those that the model will see, some 200, to learn how large "
            "its values get; drawn ones won't do. Name a data set, or take fp16."
        )


def _ready(source: ModelSpec, options: ConvertOptions, folder: Path) -> _Ready:
    size_wh = options.input_size_wh or source.input_size_wh
    spec = replace(source, input_size_wh=size_wh)
    model = prepare(source, size_wh)
    looked_at = Samples(preprocess(rendered_pictures(_LOOKED_AT), spec).tensor, spec)
    if size_wh != source.input_size_wh:
        try:
            run_float(model, [looked_at[0]])
        except ModelFileError as error:
            raise cannot_resize(source, size_wh) from error
    simple, note = simplify(model, list(looked_at))
    if size_wh != source.input_size_wh:  # what the made model is compared with
        reference = folder / _RESIZED
        reference.write_bytes(model.SerializeToString())
        spec = replace(spec, path=reference)
    return _Ready(simple, spec, looked_at, (note,) if note else ())


def _made(
    ready: _Ready,
    options: ConvertOptions,
    pictures: Sequence[Path],
    folder: Path,
    progress: Progress,
) -> ModelSpec:
    """Write the new file of an ONNX or OpenVINO conversion and return its spec."""
    model, samples = ready.model, None
    quantised = options.precision == "int8" and ready.spec.precision != "int8"
    halved = options.precision == "fp16" and ready.spec.precision != "fp16"
    if quantised:
        samples = calibration_samples(
            pictures, ready.spec, options.calibration_pictures, part(progress, 0, 0.2)
        )
    rest = part(progress, 0.2, 0.95)
    if options.format is Format.OPENVINO:
        path = write_ir(model, options.precision, samples, folder, rest)
        digest = ir_digest(path)
    else:
        if samples is not None:
            model = quantise(model, samples, rest, symmetric=options.symmetric)
        elif halved:
            rest(0.0, "turning weights to half precision")
            model = half(model, list(ready.looked_at))
        path = folder / "model.onnx"
        written = path.with_suffix(".part")
        written.write_bytes(model.SerializeToString())
        written.replace(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    notes = (*ready.spec.notes, *(samples.notes if samples is not None else ()))
    return replace(ready.spec, path=path, precision=options.precision, sha256=digest, notes=notes)


def _about(made: ModelSpec, pictures: Sequence[Path]) -> tuple[str, ...]:
    kind = (made.format, made.precision)
    notes = [_ON_CPU[kind]] if kind in _ON_CPU else []
    if not pictures:
        notes.append(
            "Compared with its source on drawn pictures, which say little about real ones; name a "
            "data set to compare on that."
        )
    return tuple(notes)


def _missing_onnxslim() -> str | None:
    if find_spec("onnxslim") is None:
        return "onnxslim isn't installed; install sightline-engines[convert]"
    return None
