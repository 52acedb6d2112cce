"""Make an ONNX file of a PyTorch checkpoint, which is opened only behind walls."""

from __future__ import annotations

import shutil
import stat
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import onnx

from sightline_engines.convert.kinds import Kind, look
from sightline_engines.errors import ModelFileError
from sightline_engines.onnxfile import read_onnx
from sightline_engines.progress import Progress, part
from sightline_engines.recognise import recognise
from sightline_engines.sandbox.plan import Limits
from sightline_engines.sandbox.run import run_walled
from sightline_engines.types import ModelSpec

_TASKS = {
    Kind.ULTRALYTICS: "sightline_engines.convert.ultralytics_child",
    Kind.TORCHSCRIPT: "sightline_engines.convert.torch_child",
    Kind.MODULE: "sightline_engines.convert.torch_child",
}
_MISSING = {
    "torch": "PyTorch isn't installed, so that checkpoints can't be opened. Install it with: "
    "pip install 'sightline-engines[torch]'.",
    "ultralytics": "The checkpoint was made by Ultralytics, which isn't installed. It is "
    "AGPL-3.0 software: read its licence, then install it with: "
    "pip install --no-deps ultralytics ultralytics-thop. Or export the file to ONNX elsewhere: "
    "yolo export model=model.pt format=onnx.",
}


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """What to make of a checkpoint."""

    input_size_wh: tuple[int, int] | None = None  # None: Ultralytics' own; others need it
    opset: int = 17
    dynamic_size: bool = False  # leave the picture's sides open too
    labels: tuple[str, ...] = ()  # of files that don't carry them
    licence: str = ""
    max_bytes: int = 2 * 2**30  # of the checkpoint
    limits: Limits = field(default_factory=Limits)


def export_checkpoint(
    path: Path, options: CheckpointOptions, folder: Path, progress: Progress
) -> ModelSpec:
    """Write `folder`/<name>.onnx and return its spec, read like any other upload.

    `folder` exists. Raises ModelFileError; SandboxError, which is one, where no walls can be built.
    """
    progress(0.0, "Looking at the checkpoint")
    size = path.stat().st_size
    if size > options.max_bytes:
        raise ModelFileError(f"{path.name} has {size} bytes; the limit is {options.max_bytes}.")
    kind = look(path).kind
    _check_options(kind, options, path.name)
    _check_installed(kind)
    scratch = folder / ".walled"
    # Ultralytics wants a folder of settings, which the child itself couldn't make.
    (scratch / "Ultralytics").mkdir(parents=True)
    try:
        made = _export(path, kind, options, scratch, part(progress, 0.05, 0.9))
        target = folder / f"{path.stem}.onnx"
        made.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    progress(0.9, "Reading the ONNX file")
    try:
        spec = _settle(target, options)
    except ModelFileError:
        target.unlink(missing_ok=True)
        raise
    progress(1.0, "Exported")
    return spec


def _check_options(kind: Kind, options: CheckpointOptions, name: str) -> None:
    if kind is not Kind.ULTRALYTICS and options.input_size_wh is None:
        raise ModelFileError(
            f"{name} doesn't say which picture size it takes; name the input size, such as 640x640."
        )
    sides = options.input_size_wh or (32, 32)
    if not all(1 <= side <= 8192 for side in sides):
        raise ModelFileError(f"The input size {sides[0]}x{sides[1]} is not within 1 to 8192.")


def _check_installed(kind: Kind) -> None:
    needed = ("torch", "ultralytics") if kind is Kind.ULTRALYTICS else ("torch",)
    for package in needed:
        if find_spec(package) is None:
            raise ModelFileError(_MISSING[package])


def _export(
    path: Path, kind: Kind, options: CheckpointOptions, scratch: Path, progress: Progress
) -> Path:
    """Run the child and return the file it left, which is a plain one."""
    source, output = scratch / "model.pt", scratch / "out.onnx"
    source.symlink_to(path.resolve())
    outcome = run_walled(
        _TASKS[kind],
        {
            "kind": str(kind),
            "source": str(source.absolute()),
            "output": str(output.absolute()),
            "input_size_wh": options.input_size_wh,
            "opset": options.opset,
            "dynamic_size": options.dynamic_size,
            "labels": options.labels,
            "licence": options.licence,
        },
        scratch,
        read=(path,),
        limits=options.limits,
        progress=progress,
    )
    if not outcome.done:
        raise ModelFileError(f"{path.name} could not be exported: {outcome.error}")
    if not _is_plain(output):
        raise ModelFileError(f"{path.name} was opened, but no ONNX file came of it.")
    return output


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _settle(path: Path, options: CheckpointOptions) -> ModelSpec:
    """Write down what the file lacks, and fix the picture's size unless it is to stay open."""
    model = read_onnx(path).model
    known = {entry.key: entry.value for entry in model.metadata_props}
    if options.labels:
        known["names"] = str(dict(enumerate(options.labels)))
    if options.licence:
        known["license"] = options.licence
    onnx.helper.set_model_props(model, known)
    path.write_bytes(model.SerializeToString())
    spec = recognise(path)
    if options.dynamic_size:
        return spec
    width, height = spec.input_size_wh
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    del model.graph.value_info[:]  # shapes written for the open size
    path.write_bytes(model.SerializeToString())
    return recognise(path)
