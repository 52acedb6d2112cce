"""ONNX files of any inputs and outputs: read, and described as results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from onnx.helper import tensor_dtype_to_np_dtype

from sightline_engines.errors import ModelFileError
from sightline_engines.exporter.options import ExportConfig
from sightline_engines.exporter.results import MadeFile, OnnxExport, Parity, Port
from sightline_engines.onnxfile import OnnxFile, parse_onnx, read_onnx
from sightline_engines.onnxfile import Port as OnnxPort

PRECISION = "sightline_precision"  # in a file's metadata: small weights tell it badly


def read_onnx_file(path: Path) -> OnnxFile:
    """Read an ONNX file whatever its name ends with; raises ModelFileError."""
    try:
        return parse_onnx(path.read_bytes(), path.name)
    except OSError as error:
        raise ModelFileError(f"{path} can't be read: {error.strerror or error}.") from error


def existing_onnx(path: Path, config: ExportConfig) -> OnnxExport:
    """Describe an ONNX file that an earlier export left; raises ModelFileError if it can't be it.

    Its inputs must be those of the configuration.
    """
    file = read_onnx(path)
    wanted = {name: config.whole_shape(name) for name in config.input_shapes}
    found = {port.name: port for port in ports_of(file.inputs)}
    fits = set(found) == set(wanted) and all(
        len(found[n].shape) == len(shape)
        and found[n].datatype == config.dtype(n)
        and all(side in (-1, own) for side, own in zip(found[n].shape, shape, strict=True))
        for n, shape in wanted.items()
    )
    if not fits:
        taken = ", ".join(f"{p.name} {p.datatype} {list(p.shape)}" for p in found.values())
        asked = ", ".join(f"{n} {config.dtype(n)} {list(s)}" for n, s in wanted.items())
        raise ModelFileError(
            f"{path} takes {taken}, but {asked} was asked for. Export it again, or name the "
            "inputs as they are."
        )
    precision = file.metadata.get(PRECISION, file.precision)
    if precision != config.precision:
        raise ModelFileError(
            f"{path} is {precision}, but {config.precision} was asked for. Export it again, or "
            f"ask for {precision}."
        )
    return described(path, file, config, None, (), 0.0)


def described(  # noqa: PLR0913, PLR0917  what a result consists of
    path: Path,
    file: OnnxFile,
    config: ExportConfig,
    parity: Parity | None,
    notes: tuple[str, ...],
    seconds: float,
) -> OnnxExport:
    """Return the result for a file that is there."""
    opset = next((o.version for o in file.model.opset_import if o.domain in ("", "ai.onnx")), 0)
    return OnnxExport(
        made_file(path),
        config.precision,
        opset,
        ports_of(file.inputs),
        ports_of(file.outputs),
        parity,
        seconds,
        notes,
    )


def made_file(path: Path) -> MadeFile:
    """Return a file's size and hash."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return MadeFile(path, path.stat().st_size, digest)


def ports_of(ports: Sequence[OnnxPort]) -> tuple[Port, ...]:
    """Return an ONNX file's ports in NumPy's words."""
    return tuple(
        Port(
            port.name,
            str(tensor_dtype_to_np_dtype(port.elem_type)),
            tuple(-1 if side is None else side for side in port.shape),
        )
        for port in ports
    )
