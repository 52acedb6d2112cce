"""Which file of a stored model goes to Triton."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sightline_backend.errors import NotPossibleError, UnknownError
from sightline_backend.store.records import Artefact, Model
from sightline_engines.types import Format

TAKEN = (Format.ONNX, Format.TENSORRT)  # the better first


def artefact_of(model: Model, artefact_id: int | None) -> Artefact:
    """Return the artefact that is asked for; else what serves, else the newest that Triton takes.

    It has a spec. Raises UnknownError, or NotPossibleError where Triton takes none of them.
    """
    every = _every(model)
    if artefact_id is not None:
        return _asked(model, every, artefact_id)
    if model.active is not None and model.active.format in TAKEN:
        return model.active
    able = [one for one in every if one.format in TAKEN and one.spec is not None]
    if not able:
        raise NotPossibleError(
            f"{model.name} has neither an ONNX file nor a TensorRT plan, which Triton takes: "
            f"convert it first (`sightline convert {model.name} --format onnx`)."
        )
    return max(able, key=_rank)


def _rank(one: Artefact) -> tuple[int, int, bool, int]:
    # INT8 that ships came with its fp32 file, and is for OpenVINO: elsewhere it can be slower.
    return one.version, -TAKEN.index(one.format), not one.is_shipped_int8, one.id


def built_from(model: Model, artefact: Artefact) -> Path | None:
    """Return the ONNX file that a plan was built from, which names its tensors."""
    if artefact.format is not Format.TENSORRT:
        return None
    sha256 = artefact.passport.source_sha256 if artefact.passport is not None else None
    exact = (
        one for one in _every(model) if artefact.made_from_id == one.id or one.sha256 == sha256
    )
    return next((one.path for one in exact if one.format is Format.ONNX), None)


def _asked(model: Model, every: Sequence[Artefact], artefact_id: int) -> Artefact:
    found = next((one for one in every if one.id == artefact_id), None)
    if found is None:
        raise UnknownError(f"{model.name} has no artefact {artefact_id}.")
    if found.spec is None or found.format not in TAKEN:
        what = "a checkpoint" if found.spec is None else str(found.format)
        raise NotPossibleError(
            f"Artefact {found.id} is {what}, which Triton doesn't take: deploy an ONNX file or a "
            f"plan of {model.name}, or convert it."
        )
    return found


def _every(model: Model) -> list[Artefact]:
    return [one for version in model.versions for one in version.artefacts]
