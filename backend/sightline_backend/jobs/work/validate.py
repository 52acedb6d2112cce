"""The job that measures an artefact's accuracy."""

from __future__ import annotations

from typing import Any

from sightline_backend.datasets import dataset_in_use, find_dataset
from sightline_backend.errors import NotPossibleError
from sightline_backend.jobs.devices import device_of
from sightline_backend.jobs.requests import ValidateRequest
from sightline_backend.jobs.work.benchmark import dataset_about, host, keep
from sightline_backend.jobs.work.calibrated import calibration_notes
from sightline_backend.jobs.work.context import JobWork
from sightline_engines.benchmark.cells import Cell, CellResult
from sightline_engines.benchmark.run import measure_one
from sightline_engines.types import Format

_ENGINES = {Format.OPENVINO: "openvino", Format.TENSORRT: "tensorrt"}


def run(request: ValidateRequest, work: JobWork) -> dict[str, Any]:
    """Measure accuracy alone and keep it as a measurement without speed.

    `auto` is the engine that the format asks for; an ONNX runs on ONNX Runtime. Raises
    SightlineError.
    """
    with dataset_in_use(work.store, request.dataset):
        return _run(request, work)


def _run(request: ValidateRequest, work: JobWork) -> dict[str, Any]:
    artefact = work.store.models.artefact(request.artefact_id)
    spec = artefact.spec
    if spec is None:
        raise NotPossibleError("A checkpoint can't run; convert it to ONNX first.")
    whole = find_dataset(work.store, work.settings.data_dir, request.dataset)
    dataset = whole.most(request.most_pictures)
    engine = request.engine
    if engine == "auto":
        engine = _ENGINES.get(artefact.format, "onnxruntime")  # type: ignore[assignment]
    device = device_of(engine, request.device)
    with work.store.models.hold([spec]):
        accuracy = measure_one(spec, engine, device, dataset, work.report.progress)
    notes = calibration_notes(artefact, work.store, request.dataset, whole, dataset)
    for note in (*whole.notes, *notes):
        work.report.log(note)
    cell = Cell(engine, artefact.precision, 1, spec.input_size_wh, 1, device)
    result = CellResult(cell, "done", artefact_id=artefact.id, accuracy=accuracy, notes=notes)
    keep(result, work)
    return {
        "artefact_id": artefact.id,
        "engine": engine,
        "accuracy": accuracy.to_dict(),
        "notes": list(notes),
        "dataset": dataset_about(dataset),
        "host": host(),
    }
