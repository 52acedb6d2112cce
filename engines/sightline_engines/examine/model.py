"""What an uploaded ONNX file is, found out in a child process."""

from __future__ import annotations

import re
from pathlib import Path
from types import NoneType
from typing import Any

from sightline_engines.errors import ModelFileError
from sightline_engines.examine.answer import Unreadable
from sightline_engines.examine.walled import look
from sightline_engines.sandbox.plan import Limits
from sightline_engines.sidecar import checked_fields, sidecar_path
from sightline_engines.types import Family, ModelSpec, Postprocess, Preprocess

_TASK = "sightline_engines.examine.model_child"
_MEMORY_BYTES = 2 * 2**30  # of address space, and so often the file:
_COPIES = 5


def examine_model(path: Path, scratch: Path) -> ModelSpec:
    """Return what `recognise` says of a file; this process opens nothing of it. Blocks.

    `scratch` doesn't exist yet. Raises ModelFileError, OSError.
    """
    memory = _MEMORY_BYTES + _COPIES * path.stat().st_size
    limits = Limits(memory, cpu_s=60, wall_s=180, disk_bytes=64 * 2**20, files=8)
    arguments = {"path": str(path.resolve()), "scratch": str(scratch.resolve())}
    try:
        found = look(_TASK, arguments, scratch, (path, sidecar_path(path)), limits)
    except Unreadable as error:
        raise ModelFileError(error.message) from error
    return _spec(found, path)


def _spec(found: dict[str, Any], path: Path) -> ModelSpec:
    """Return a spec of fields that are checked like anybody's sidecar: the child may be taken."""
    fields = checked_fields(found.get("spec"), f"What is read of {path.name}")
    batch = found.get("static_batch")
    try:
        if not re.fullmatch("[0-9a-f]{64}", fields["sha256"]) or type(batch) not in (int, NoneType):
            raise ValueError("no hash, or no number")
        width, height = fields["input_size_wh"]
        return ModelSpec(
            name=fields["name"],
            path=path,
            family=Family(fields["family"]),
            input_size_wh=(width, height),
            labels=tuple(fields["labels"]),
            version=fields["version"],
            precision=fields["precision"],
            static_batch=batch,
            preprocess=Preprocess(**fields["preprocess"]),
            postprocess=Postprocess(**fields["postprocess"]),
            licence=fields["licence"],
            source=fields["source"],
            sha256=fields["sha256"],
            notes=tuple(fields["notes"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{path.name} could not be read: {error}.") from error
