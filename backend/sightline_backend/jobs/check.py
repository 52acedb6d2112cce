"""What is wrong with a request, found before there is a job: unknown names and the like."""

from __future__ import annotations

from pathlib import Path

from sightline_backend.datasets import place_of
from sightline_backend.errors import NotPossibleError, UnknownError
from sightline_backend.jobs.requests import (
    MOST_CELLS,
    BenchmarkRequest,
    ConvertRequest,
    JobRequest,
    PipelineRequest,
    ValidateRequest,
)
from sightline_backend.store.records import Artefact, Model, Version
from sightline_backend.store.store import Store
from sightline_engines.device import parse_device
from sightline_engines.types import Format


def check(store: Store, request: JobRequest, data_dir: Path | None = None) -> None:
    """Raise a SightlineError that says why this can't be done; blocks."""
    match request:
        case ConvertRequest():
            version = version_of(store.models.model(request.model), request.version)
            _check_artefact(version, request.artefact_id)
            _check_makes(request)
        case ValidateRequest():
            _check_runs(store.models.artefact(request.artefact_id))
        case BenchmarkRequest():
            version = version_of(store.models.model(request.model), request.version)
            _check_artefact(version, request.artefact_id)
            if request.cells > MOST_CELLS:
                raise NotPossibleError(
                    f"{request.cells} combinations are more than the {MOST_CELLS} that one "
                    "benchmark may have: ask for fewer batches, sizes or instances."
                )
        case PipelineRequest():
            version_of(store.models.model(request.model), request.version)
    if not isinstance(request, ConvertRequest) and request.device is not None:
        parse_device(request.device)
    if request.dataset is not None:
        place_of(store, data_dir, request.dataset)


def version_of(model: Model, number: int | None) -> Version:
    """Return a version by its number, or the one that serves; raises UnknownError."""
    if number is None:
        number = model.active.version if model.active else max(v.number for v in model.versions)
    for version in model.versions:
        if version.number == number:
            return version
    there = ", ".join(str(version.number) for version in model.versions)
    raise UnknownError(f"{model.name} has no version {number}; it has {there}.")


def _check_artefact(version: Version, artefact_id: int | None) -> None:
    if artefact_id is not None and artefact_id not in {one.id for one in version.artefacts}:
        raise UnknownError(f"Version {version.number} has no artefact {artefact_id}.")


def _check_runs(artefact: Artefact) -> None:
    if artefact.format is Format.TORCH:
        raise NotPossibleError(
            f"Artefact {artefact.id} is a checkpoint, which can't run: convert it to ONNX first."
        )


def _check_makes(request: ConvertRequest) -> None:
    from sightline_engines.convert.convert import can_make

    why_not = can_make(Format(request.format), request.precision)
    if why_not is not None:
        raise NotPossibleError(
            f"{request.format} {request.precision} can't be made here: {why_not}"
        )
