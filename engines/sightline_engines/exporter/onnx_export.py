"""From a module to ONNX in the asked precision, compared with the module itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline_engines.convert.half import half
from sightline_engines.convert.prepare import named_nodes
from sightline_engines.convert.quantise import quantise
from sightline_engines.convert.session import float_session
from sightline_engines.convert.simplify import simplify
from sightline_engines.convert.timing_cache import write_whole
from sightline_engines.convert.traced import as_served, export_traced, run_module
from sightline_engines.errors import ModelFileError
from sightline_engines.exporter.onnx_files import PRECISION, described, read_onnx_file
from sightline_engines.exporter.options import ExportConfig
from sightline_engines.exporter.parity import compare, expected_answers
from sightline_engines.exporter.results import OnnxExport
from sightline_engines.exporter.samples import (
    Calibration,
    Feed,
    compared,
    few_note,
    other_sides,
    random_feed,
    read_calibration,
)
from sightline_engines.onnxfile import parse_onnx
from sightline_engines.progress import Progress, part, quiet

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto

_MODULE = "the PyTorch module"


def export_to_onnx(  # noqa: PLR0913  the words of a call
    module: torch.nn.Module,
    config: ExportConfig,
    path: Path,
    *,
    calibration: Calibration | None = None,
    symmetric: bool = False,
    progress: Progress = quiet,
) -> OnnxExport:
    """Write `path` from any module and compare its answers with the module's.

    `calibration` is needed for INT8, and compared on where it is there. `symmetric` makes INT8 as
    TensorRT takes it. The module is run on the processor, in evaluation mode, and is as it was
    afterwards. Raises ModelFileError, ParityError (one of those), ProviderError.
    """
    begin_s = time.perf_counter()
    given = () if calibration is None else read_calibration(config, calibration)
    check_calibration(config, given)
    path.parent.mkdir(parents=True, exist_ok=True)
    feeds = compared(config, given)
    raw = path.with_name(f".{path.name}.raw")
    try:
        with as_served(module) as served:
            progress(0.0, "running the module")
            other = _other_feed(served, config)
            feeds = (*feeds, other) if not given and config.dynamic_axes else feeds
            answers = expected_answers(lambda feed: run_module(served, feed), feeds, _MODULE)
            progress(0.1, "writing ONNX")
            names = export_traced(
                served,
                raw,
                (random_feed(config, 1, {}), other),
                config.axes(),
                opset=config.opset_version,
                output_names=config.output_names,
                hint=_hint(config),
            )
        model = named_nodes(read_onnx_file(raw).model)
    finally:
        raw.unlink(missing_ok=True)
    _check_sizes(model, feeds)
    expected = [dict(zip(names, answer.values(), strict=True)) for answer in answers]
    model, notes = _in_precision(
        model, config, feeds, given, symmetric=symmetric, progress=part(progress, 0.4, 0.9)
    )
    progress(0.9, "comparing with the module")
    found = [dict(answer) for answer in answers_of(model, feeds)]
    parity = compare(expected, found, _MODULE, config.precision)
    model.metadata_props.add(key=PRECISION, value=config.precision)
    data = model.SerializeToString()
    write_whole(path, data)
    progress(1.0, "done")
    return described(
        path, parse_onnx(data, path.name), config, parity, notes, time.perf_counter() - begin_s
    )


def check_calibration(config: ExportConfig, given: Sequence[Feed]) -> None:
    """Raise ModelFileError where INT8 is asked for without anything to calibrate it on."""
    if config.precision == "int8" and not given:
        raise ModelFileError(
            "INT8 needs inputs like those that the model will see, some 200, to learn how large "
            "its values get: give `calibration`, a list of them or an .npz file, or take fp16."
        )


def answers_of(model: ModelProto, feeds: Sequence[Feed]) -> list[dict[str, Any]]:
    """Run an ONNX model on the processor; raises ModelFileError where it fails."""
    run = float_session(model)
    names = [value.name for value in model.graph.output]
    return [dict(zip(names, run(feed, names), strict=True)) for feed in feeds]


def _check_sizes(model: ModelProto, feeds: Sequence[Feed]) -> None:
    """Raise ModelFileError where what was traced doesn't run at every size that is asked for."""
    try:
        answers_of(model, feeds)
    except ModelFileError as error:
        raise ModelFileError(
            "The module's ONNX doesn't run at every size: its code makes constants of sizes that "
            "it is traced with, as torch.nn.MultiheadAttention does of its length. Leave those "
            f"axes out of dynamic_axes, or change the code. {error.message}"
        ) from error


def _other_feed(module: Any, config: ExportConfig) -> Feed:
    """Return inputs of other open sides that the module takes; raises ModelFileError."""
    batch = 2 if config.batched else 1
    ways = other_sides(config)
    for sides in ways[:-1]:
        feed = random_feed(config, batch, sides)
        try:
            run_module(module, feed)
        except ModelFileError:
            continue
        return feed
    feed = random_feed(config, batch, ways[-1])
    run_module(module, feed, _hint(config))
    return feed


def _in_precision(  # noqa: PLR0913
    model: ModelProto,
    config: ExportConfig,
    feeds: Sequence[Feed],
    given: Sequence[Feed],
    *,
    symmetric: bool,
    progress: Progress,
) -> tuple[ModelProto, tuple[str, ...]]:
    """Return the model simplified and in its precision, and what is to be said of it."""
    progress(0.0, "simplifying the model")
    model, note = simplify(model, feeds)
    model = named_nodes(model)
    notes: tuple[str, ...] = (note,) if note else ()
    if config.precision == "fp16":
        progress(0.3, "turning weights to half precision")
        model = half(model, feeds)
    elif config.precision == "int8":
        model = quantise(model, given, part(progress, 0.3, 1.0), symmetric=symmetric)
        notes += few_note(len(given))
    return model, notes


def _hint(config: ExportConfig) -> str:
    taken = ", ".join(
        f"{name} {config.dtype(name)} {list(config.whole_shape(name))}"
        for name in config.input_shapes
    )
    open_axes = sorted({axis for axes in config.dynamic_axes.values() for axis in axes.values()})
    more = f" with {', '.join(open_axes)} open" if open_axes else ""
    return (
        f"forward() gets {taken}{more}, in this order"
        + (" and in batches of any size" if config.batched else "")
        + ". Are the input shapes right?"
        + (" Name the open axes' least and greatest side in axis_ranges." if open_axes else "")
        + (" A module that takes no batches needs max_batch_size=0." if config.batched else "")
    )
