"""The job that measures a matrix of engines, precisions, batches, sizes and instances."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sightline_backend.datasets import dataset_in_use, find_dataset
from sightline_backend.errors import StoreError, UnknownError
from sightline_backend.jobs.check import version_of
from sightline_backend.jobs.devices import device_of
from sightline_backend.jobs.requests import BenchmarkRequest, ConvertRequest
from sightline_backend.jobs.work.calibrated import calibration_notes
from sightline_backend.jobs.work.context import JobWork
from sightline_backend.jobs.work.making import make
from sightline_backend.jobs.work.wanted import at_size, found, source_of, wanted
from sightline_backend.store.records import Artefact, Version
from sightline_engines.benchmark.cells import Cell, CellResult
from sightline_engines.benchmark.dataset import Dataset
from sightline_engines.benchmark.run import RunOptions, Trial, processors, run_matrix
from sightline_engines.convert.convert import can_make
from sightline_engines.convert.options import Precision
from sightline_engines.device import nvidia_gpus
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.progress import Progress, part
from sightline_engines.types import Format, ModelSpec

_MAKING_SHARE = 0.3  # of the progress


def run(request: BenchmarkRequest, work: JobWork) -> dict[str, Any]:
    """Measure every cell; each is kept as soon as it is there. Raises SightlineError."""
    with dataset_in_use(work.store, request.dataset):
        return _run(request, work)


def _run(request: BenchmarkRequest, work: JobWork) -> dict[str, Any]:
    version = version_of(work.store.models.model(request.model), request.version)
    whole = dataset = None
    if request.dataset is not None:
        whole = find_dataset(work.store, work.settings.data_dir, request.dataset)
        dataset = whole.most(request.most_pictures)
        for note in whole.notes:
            work.report.log(note)
    about = {"host": host(), "dataset": None if dataset is None else dataset_about(dataset)}
    trials = _trials(_Asked(request, version, whole, dataset, work))
    cells: list[dict[str, Any]] = []

    def finished(result: CellResult) -> None:
        cells.append(result.to_dict())
        keep(result, work)
        work.report.log(_line(result))
        work.report.partial({"cells": list(cells), **about})

    work.report.partial({"cells": [], **about})
    options = RunOptions(request.seconds, request.warmup_s, request.accuracy)
    specs = [trial.spec for trial in trials if trial.spec is not None]
    with work.store.models.hold(specs):
        run_matrix(trials, dataset, options, part(work.report.progress, _MAKING_SHARE, 1), finished)
    return {"cells": cells, **about}


def host() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "processor": _processor(),
        "processors": processors(),
        "system": platform.platform(terse=True),
        "gpus": list(nvidia_gpus()),
    }


def dataset_about(dataset: Dataset) -> dict[str, Any]:
    """Return what is said of a data set beside figures."""
    return {
        "name": dataset.name,
        "format": dataset.format,
        "pictures": len(dataset.pictures),
        "boxes": dataset.boxes,
        "classes": len(dataset.classes),
        "missing": list(dataset.missing[:20]),
        "notes": list(dataset.notes),
        "sha256": dataset.sha256,
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What the files are found or made for."""

    request: BenchmarkRequest
    version: Version
    whole: Dataset | None
    dataset: Dataset | None  # as much of it as accuracy is measured on
    work: JobWork


@dataclass(frozen=True, slots=True)
class _Ready:
    """What an engine runs at one precision and size, or why nothing does."""

    spec: ModelSpec | None = None
    artefact_id: int | None = None
    why_not: str | None = None
    notes: tuple[str, ...] = ()


def _trials(asked: _Asked) -> list[Trial]:
    """Return the cells in the order in which they are measured; files that lack are made."""
    request = asked.request
    sizes: Sequence[tuple[int, int] | None] = request.input_sizes or [None]
    one_artefact = request.artefact_id is not None  # has its own precision, whatever is asked
    precisions = request.precisions[:1] if one_artefact else request.precisions
    ways = list(itertools.product(request.engines, precisions, sizes))
    trials = []
    for number, (engine, precision, size) in enumerate(ways):
        begin, end = _MAKING_SHARE * number / len(ways), _MAKING_SHARE * (number + 1) / len(ways)
        progress = part(asked.work.report.progress, begin, end)
        device = request.device or "cpu"
        try:
            device = device_of(engine, request.device)
            ready = _ready(asked, (engine, precision, size), progress)
        except (ModelFileError, ProviderError) as error:
            ready = _Ready(why_not=error.message)
        spec = ready.spec
        notes = (*ready.notes, *_calibration(asked, ready))
        shown = spec.input_size_wh if spec else size or _own_size(asked.version)
        named = spec.precision if spec and one_artefact else precision
        for instances, batch in itertools.product(request.instances, request.batches):
            cell = Cell(engine, named, batch, shown, instances, device)
            trials.append(Trial(cell, spec, ready.artefact_id, ready.why_not, notes))
    return trials


def _calibration(asked: _Asked, ready: _Ready) -> tuple[str, ...]:
    """Return what is to be known of an INT8 cell's accuracy, where there is a data set."""
    if ready.artefact_id is None or asked.whole is None or asked.dataset is None:
        return ()
    store, name = asked.work.store, asked.request.dataset
    artefact = store.models.artefact(ready.artefact_id)
    return calibration_notes(artefact, store, name, asked.whole, asked.dataset)


def _ready(
    asked: _Asked, way: tuple[str, Precision, tuple[int, int] | None], progress: Progress
) -> _Ready:
    """Find or make what one way needs; raises ModelFileError or ProviderError if it can't be."""
    request, version, work = asked.request, asked.version, asked.work
    engine, precision, size = way
    if request.artefact_id is not None:
        return _sized(work.store.models.artefact(request.artefact_id), size)
    want = wanted(engine, precision, can_make(Format.OPENVINO, "int8"))
    own = _own_size(version)
    there = found(version, want, size or own) or found(version, want, own)
    if there is not None:
        ready = _sized(there, size)
        if ready.spec is not None:
            return replace(ready, notes=(want.note,) if want.note else ())
    why_not = can_make(want.format, want.precision)
    if source_of(version) is None:
        why_not = f"Version {version.number} has no fp32 ONNX that {want.precision} can be made of."
    if why_not:
        return _Ready(why_not=why_not)
    title = f"making {want.format} {want.precision}"
    progress(0.0, title)
    made_id = make(
        ConvertRequest.model_validate(
            {
                "model": request.model,
                "version": version.number,
                "format": want.format.value,
                "precision": want.precision,
                "input_size_wh": size,
                "max_batch": max(request.batches),
                "dataset": request.dataset,
            }
        ),
        work,
        lambda share, doing: progress(share, f"{title}: {doing}"),
    )
    made = work.store.models.artefact(made_id)
    return replace(_sized(made, size), notes=(want.note,) if want.note else ())


def _sized(artefact: Artefact, size: tuple[int, int] | None) -> _Ready:
    if artefact.spec is None:
        return _Ready(why_not="A checkpoint can't run; convert it to ONNX first.")
    spec = at_size(artefact.spec, size)
    if spec is None:
        width, height = artefact.spec.input_size_wh
        return _Ready(why_not=f"The model's input is fixed at {width}x{height}.")
    return _Ready(spec, artefact.id)


def _own_size(version: Version) -> tuple[int, int]:
    source = source_of(version)
    specs = [source.spec if source else None, *(a.spec for a in version.artefacts)]
    return next((spec.input_size_wh for spec in specs if spec), (0, 0))


def keep(result: CellResult, work: JobWork) -> None:
    """Add what was measured to its artefact's measurements."""
    if result.artefact_id is None or result.state != "done":
        return
    try:
        work.store.measurements.add(
            result.artefact_id, result.cell.engine, result.to_dict(), work.job_id
        )
    except (UnknownError, StoreError) as error:  # the result has it nevertheless
        work.report.log(f"Not kept beside the artefact: {error.message}")


def _line(result: CellResult) -> str:
    if result.state != "done" or result.pipeline_ms is None:
        return f"{result.cell}: {result.state}: {result.error}"
    accuracy = f", mAP50-95 {result.accuracy.map50_95:.4f}" if result.accuracy else ""
    return (
        f"{result.cell}: {result.pipeline_fps:.1f} pictures a second, "
        f"p95 {result.pipeline_ms.p95:.1f} ms{accuracy}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
