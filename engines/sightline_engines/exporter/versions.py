"""A model's versions in a Triton repository: a new one beside the old, taken back if need be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline_engines.errors import DeployError
from sightline_engines.exporter.onnx_files import made_file
from sightline_engines.exporter.options import ExportConfig
from sightline_engines.exporter.results import OnnxExport, Port, TritonFiles
from sightline_engines.triton.config import ConfigTensor, TritonConfig, config_text, model_config
from sightline_engines.triton.config import read_config as parse_config
from sightline_engines.triton.repository import LOCK_S, Repository
from sightline_engines.triton.turn import model_turn

CONFIG = "config.pbtxt"
_PART = "export"  # in `sightline_part`: what was put there by an export
# NumPy's words in Triton's.
_DATATYPES = {
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    "bool": "BOOL",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A version that was written, and what was there before."""

    files: TritonFiles
    before: str | None  # config.pbtxt; None: there was no such model


def generate_triton_config(
    config: ExportConfig, triton: TritonConfig, onnx: OnnxExport, model: Path, repository: Path
) -> TritonFiles:
    """Write the next version of a model into a repository, with its config.pbtxt.

    `model` is the ONNX file or the plan; `onnx` tells the inputs and outputs of both. Triton is
    not asked to load it. Raises DeployError, or RepositoryError for the folder.
    """
    place = Repository(repository)
    with model_turn(place, config.model_name, LOCK_S), place.locked():
        return place_version(place, config, triton, onnx, model).files


def place_version(
    repository: Repository,
    config: ExportConfig,
    triton: TritonConfig,
    onnx: OnnxExport,
    model: Path,
) -> Placed:
    """Write a version's files; call it while the repository is locked."""
    begin_s = time.perf_counter()
    name = config.model_name
    folder = repository.folder_of(name)
    before = repository.read(name, CONFIG)
    _refuse_others(name, folder, before)
    version = next_version(folder)
    made = made_file(model)
    try:
        message = _message(config, _with_version(triton, version), onnx, version, made.sha256)
    except ValueError as error:
        raise DeployError(f"Triton can't be told to run {name}: {error}") from error
    text = config_text(message)
    file = f"{version}/{triton.model_file}"
    if before is None:
        repository.place(name, {file: model, CONFIG: text})
    else:
        # The config last: until then Triton would load the version as the old config has it.
        repository.put(name, file, model.read_bytes())
        repository.put(name, CONFIG, text)
    files = TritonFiles(
        name,
        version,
        folder,
        made_file(folder / CONFIG),
        made_file(folder / file),
        text,
        time.perf_counter() - begin_s,
    )
    return Placed(files, before)


def take_back(repository: Repository, placed: Placed) -> None:
    """Leave the repository as it was before a version was placed."""
    name = placed.files.model_name
    if placed.before is None:
        repository.remove(name)
        return
    repository.put(name, CONFIG, placed.before)
    repository.remove(name, str(placed.files.version))


def next_version(folder: Path) -> int:
    """Return the number after the highest that a model's folder has."""
    found = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in found if name.isdecimal()), default=0) + 1


def datatype(port: Port) -> str:
    """Return Triton's word for a port's kind of number; raises DeployError where it has none."""
    word = _DATATYPES.get(port.datatype)
    if word is None:
        raise DeployError(
            f"Triton can't take {port.datatype}, which {port.name} is; change it in the module."
        )
    return word


def _message(
    config: ExportConfig, triton: TritonConfig, onnx: OnnxExport, version: int, sha256: str
) -> Any:
    parameters = {
        "sightline_model": config.model_name,
        "sightline_number": str(version),
        "sightline_sha256": sha256,
        "sightline_part": _PART,
    }
    message = model_config(
        config.model_name,
        [_tensor(config, port) for port in onnx.inputs],
        [_tensor(config, port) for port in onnx.outputs],
        triton,
        config.max_batch_size,
        parameters=parameters,
    )
    for warmup in message.model_warmup:  # an open side of 1 may be none that the model takes
        for name, one in warmup.inputs.items():
            del one.dims[:]
            one.dims.extend(config.input_shapes[name])
    return message


def _tensor(config: ExportConfig, port: Port) -> ConfigTensor:
    shape = port.shape
    if config.batched:
        if not shape or shape[0] != -1:
            raise DeployError(
                f"{port.name} is {list(shape)}, whose first side is no open batch. Export with "
                "max_batch_size=0, which makes no batches, or answer one row an item."
            )
        shape = shape[1:]
    if not shape:
        raise DeployError(
            f"{port.name} has no side of its own; Triton wants one. Give it one in the module, "
            "such as value.unsqueeze(-1)."
        )
    return ConfigTensor(port.name, datatype(port), shape)


def _with_version(triton: TritonConfig, version: int) -> TritonConfig:
    """Have a config that names its versions serve the new one as well."""
    if isinstance(triton.versions, tuple) and version not in triton.versions:
        return replace(triton, versions=(*triton.versions, version))
    return triton


def _refuse_others(name: str, folder: Path, before: str | None) -> None:
    """Leave alone what isn't an export: a deployment, an ensemble, a folder of anything else."""
    if before is None:
        if folder.exists():
            raise DeployError(
                f"{folder} is there without a {CONFIG}. Remove it or take another model_name."
            )
        return
    try:
        found = parse_config(before)
    except ValueError as error:
        raise DeployError(f"{folder / CONFIG} can't be read: {error} Mend or remove it.") from error
    parts: Mapping[str, Any] = found.parameters
    part = parts["sightline_part"].string_value if "sightline_part" in parts else _PART
    if part != _PART or found.platform == "ensemble":
        raise DeployError(
            f"{name} is in the repository already and is no exported model"
            + (f" but the {part} of a deployment" if part != _PART else " but an ensemble")
            + ". Take another model_name."
        )
