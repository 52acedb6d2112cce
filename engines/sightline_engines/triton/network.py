"""The network of a deployment: the file that Triton runs, and what goes in and out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline_engines.errors import DeployError
from sightline_engines.triton.config import ConfigTensor, TritonConfig
from sightline_engines.types import Format, ModelSpec

FLOATS = {1: "FP32", 10: "FP16"}  # by onnx.TensorProto's numbers
_EXPORT = "Export it with any batch size (Ultralytics: dynamic=True) and add it again."


@dataclass(frozen=True, slots=True)
class Network:
    """What is deployed; dims are of one picture, -1 where a side isn't known."""

    content: bytes | Path
    input: ConfigTensor
    output: ConfigTensor
    max_batch: int
    fixed: bool  # runs exactly one picture: Triton must not make batches of it
    profiles: tuple[str, ...] = ()  # of a plan: all that Triton may choose from

    @property
    def ports(self) -> tuple[ConfigTensor, ConfigTensor, int]:
        """Input, output and largest batch as the config has them; 0: dims hold the batch."""
        if not self.fixed:
            return self.input, self.output, self.max_batch
        whole = [replace(port, dims=(1, *port.dims)) for port in (self.input, self.output)]
        return whole[0], whole[1], 0


def detector_network(
    spec: ModelSpec, config: TritonConfig, max_batch: int, built_from: Path | None
) -> Network:
    """Return a detector as Triton runs it; raises DeployError, ModelFileError."""
    from sightline_engines.graph import (
        INPUT_NAME,
        detection_port,
        output_shape,
        uint8_graph,
    )
    from sightline_engines.onnxfile import read_onnx

    plan = spec.format is Format.TENSORRT
    named = replace(spec, path=_origin(spec, built_from)) if plan else spec
    file, (width, height) = read_onnx(named.path), spec.input_size_wh
    check_precision(file.model, config, named.path.name)
    port, name = detection_port(file, named.path.name), spec.path.name
    dims = tuple(side or -1 for side in output_shape(file, spec.input_size_wh, name)[1:])
    fixed, most = check_batch(spec.static_batch, name), max_batch
    profiles: tuple[str, ...] = ()
    passport = spec.passport
    if plan and passport is not None:
        most = min(most, passport.max_batch)
        fixed = fixed or most == 1
        # One picture has a profile of its own (convert/plan.py); Triton takes the first alone
        # unless it is told of both.
        profiles = ("0", "1") if passport.min_batch < passport.max_batch else ()
    # TensorRT inside ONNX Runtime can't move bytes about either.
    content = spec.path if plan else uint8_graph(spec, cast_first=config.accelerator == "tensorrt")
    return Network(
        content,
        ConfigTensor(INPUT_NAME, "UINT8", (height, width, 3)),
        # What makes plans leaves float32 at both ends.
        ConfigTensor(port.name, "FP32" if plan else float_type(port.elem_type, name), dims),
        1 if fixed else most,
        fixed,
        profiles,
    )


def check_batch(static_batch: int | None, name: str) -> bool:
    """Tell whether a model runs one picture and no more; raises DeployError for other sizes."""
    if static_batch is not None and static_batch > 1:
        raise DeployError(
            f"{name} takes exactly {static_batch} pictures at once, which no single request has. "
            f"{_EXPORT}"
        )
    return static_batch == 1


def check_precision(model: Any, config: TritonConfig, name: str) -> None:
    """Raise DeployError for int8 without a quantised file: nobody has measured its ranges."""
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if config.accelerator_precision == "int8" and not quantised:
        raise DeployError(
            f"{name} isn't quantised, and accelerator_precision int8 needs a file that is (with "
            "QuantizeLinear nodes). Quantise it first, or ask for fp16."
        )


def float_type(elem_type: int, name: str) -> str:
    """Return the datatype of an ONNX output; raises DeployError for what isn't a float."""
    if elem_type not in FLOATS:
        raise DeployError(
            f"{name} answers with ONNX type {elem_type}; float32 or float16 is supported."
        )
    return FLOATS[elem_type]


def file_digest(path: Path) -> str:
    """Return a file's SHA-256; raises DeployError where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DeployError(f"{path.name} can't be read: {error.strerror or error}.") from error


def _origin(spec: ModelSpec, built_from: Path | None) -> Path:
    """Return the ONNX file that a plan was built from: a plan tells its tensors to a GPU alone."""
    if spec.passport is None:
        raise DeployError(
            f"{spec.path.name} has no passport, so what it was built from isn't known. Convert "
            "the model's ONNX file to TensorRT with Sightline."
        )
    wanted = spec.passport.source_sha256
    for path in _candidates(spec.path, wanted, built_from):
        if path.is_file() and file_digest(path) == wanted:
            return path
    raise DeployError(
        f"The ONNX file that {spec.path.name} was built from ({wanted[:12]}…) isn't there; it "
        "names the plan's tensors. Put it beside the plan, or convert the model again."
    )


def _candidates(plan: Path, wanted: str, built_from: Path | None) -> Iterator[Path]:
    if built_from is not None:
        yield built_from
        return
    yield plan.with_name(f"{wanted}.onnx")
    yield plan.parent.parent / wanted[:2] / f"{wanted}.onnx"  # as the model store keeps files
    yield from sorted(plan.parent.glob("*.onnx"))[:50]
