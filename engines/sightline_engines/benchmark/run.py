"""Measure a matrix: each cell in processes of its own, one cell after another."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline_engines.benchmark.accuracy import classes_to_find
from sightline_engines.benchmark.cells import Accuracy, Cell, CellResult
from sightline_engines.benchmark.gpu import GpuSampler
from sightline_engines.benchmark.labelled import Dataset
from sightline_engines.benchmark.messages import dataset_to_dict, spec_to_dict
from sightline_engines.benchmark.process import Measuring
from sightline_engines.benchmark.spread import Spread, few_runs
from sightline_engines.errors import EngineError
from sightline_engines.progress import Progress, part, quiet
from sightline_engines.types import ModelSpec

_PHASES = ("engine", "pipeline")
_GPU_BATCH = 8  # of the accuracy run; on a processor batches gain nothing
_ACCURACY_SHARE = 0.5  # of a group's progress, where accuracy is measured


@dataclass(frozen=True, slots=True)
class Trial:
    """One cell and what runs in it."""

    cell: Cell
    spec: ModelSpec | None  # None: it can't run, as `skipped` says
    artefact_id: int | None = None
    skipped: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a matrix is measured."""

    seconds: float = 5.0  # most that a cell is measured for, half of it the engine alone
    warmup_s: float = 1.0
    accuracy: bool = True  # where there is a data set


def run_matrix(
    trials: Sequence[Trial],
    dataset: Dataset | None = None,
    options: RunOptions | None = None,
    progress: Progress = quiet,
    finished: Callable[[CellResult], None] | None = None,
) -> list[CellResult]:
    """Return a result for each trial, in order; `finished` is told each as soon as it is there.

    Accuracy is measured once for each file and engine. A cell that crashes is `failed` and the
    others go on. Raises DatasetError where model and data set share no class.
    """
    options = options or RunOptions()
    if dataset is not None and options.accuracy:
        for spec in {trial.spec.sha256: trial.spec for trial in trials if trial.spec}.values():
            classes_to_find(spec.labels, dataset)
    pictures = [str(path) for path in dataset.most(32).paths] if dataset else []
    results: list[CellResult] = []
    known: dict[tuple[object, ...], _Judged] = {}
    for number, trial in enumerate(trials):
        step = part(progress, number / len(trials), (number + 1) / len(trials))
        judged = _Judged()
        if dataset is not None and options.accuracy and _why_not(trial) is None:
            key = _accuracy_key(trial)
            if key not in known:
                known[key] = _judge(trial, dataset, part(step, 0, _ACCURACY_SHARE))
                step = part(step, _ACCURACY_SHARE, 1)
            judged = known[key]
        step(0.0, f"speed: {trial.cell}")
        result = _measured(trial, pictures, options)
        notes = (*result.notes, *((judged.problem,) if judged.problem else ()))
        results.append(replace(result, accuracy=judged.accuracy, notes=notes))
        if finished is not None:
            finished(results[-1])
    progress(1.0, "done")
    return results


def processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def measure_one(
    spec: ModelSpec, engine: str, device: str, dataset: Dataset, progress: Progress = quiet
) -> Accuracy:
    """Return a model's accuracy on one engine; raises EngineError, DatasetError."""
    classes_to_find(spec.labels, dataset)
    request = {
        **_request(spec, engine, device),
        "what": "accuracy",
        "dataset": dataset_to_dict(dataset),
        "batch": 1 if device == "cpu" else _GPU_BATCH,
    }
    with Measuring(request) as child:
        while "result" not in (message := child.next()):
            progress(message["progress"], message["doing"])
    return Accuracy.from_dict(message["result"]["accuracy"])


@dataclass(frozen=True, slots=True)
class _Judged:
    accuracy: Accuracy | None = None
    problem: str | None = None


def _accuracy_key(trial: Trial) -> tuple[object, ...]:
    spec, cell = trial.spec, trial.cell
    return (spec and (spec.sha256, str(spec.path)), cell.engine, cell.input_size_wh, cell.device)


def _judge(trial: Trial, dataset: Dataset, progress: Progress) -> _Judged:
    cell, spec = trial.cell, trial.spec
    assert spec is not None  # noqa: S101  skipped otherwise
    title = f"accuracy: {cell.engine} {cell.precision}"

    def tell(share: float, doing: str) -> None:
        progress(share, f"{title}, {doing}")

    tell(0.0, f"{len(dataset.pictures)} pictures")
    try:
        return _Judged(measure_one(spec, cell.engine, cell.device, dataset, tell))
    except EngineError as error:
        return _Judged(problem=f"Accuracy couldn't be measured: {error.message}")


def _why_not(trial: Trial) -> str | None:
    """Return why a cell can't run, None if nothing is known against it."""
    spec, cell = trial.spec, trial.cell
    if trial.skipped or spec is None:
        return trial.skipped or "There is no file to run."
    if cell.instances > processors() and cell.device == "cpu":
        return f"{cell.instances} instances need as many processors; there are {processors()}."
    return None


def _measured(trial: Trial, pictures: Sequence[str], options: RunOptions) -> CellResult:
    started = time.monotonic()
    reason = _why_not(trial)
    if reason is not None or trial.spec is None:
        return CellResult(trial.cell, "skipped", reason, trial.artefact_id, notes=trial.notes)
    try:
        result = _speed(trial, trial.spec, pictures, options)
    except EngineError as error:
        result = CellResult(trial.cell, "failed", error.message, trial.artefact_id)
    few = (few_runs(result.pipeline_ms, percentile) for percentile in ("p95", "p99"))
    said = (note for note in few if note)
    notes = (*trial.notes, *_fixed_batch(trial.spec, trial.cell), *said)
    return replace(result, notes=notes, seconds=time.monotonic() - started)


def _fixed_batch(spec: ModelSpec, cell: Cell) -> Sequence[str]:
    """Say how a model that was exported for one batch size takes another, as it does in service."""
    fixed = spec.static_batch
    if fixed is None or fixed == cell.batch:
        return ()
    calls = -(-cell.batch // fixed)
    return [
        f"The model's batch is fixed at {fixed}: {cell.batch} pictures take {calls} runs of it."
    ]


def _speed(
    trial: Trial, spec: ModelSpec, pictures: Sequence[str], options: RunOptions
) -> CellResult:
    """Run a cell's processes side by side, each phase begun by all at the same time."""
    cell = trial.cell
    threads = max(1, processors() // cell.instances) if cell.instances > 1 else None
    request = {
        **_request(spec, cell.engine, cell.device, threads),
        "what": "speed",
        "batch": cell.batch,
        "pictures": list(pictures),
        "seconds": options.seconds,
        "warmup_s": options.warmup_s,
        "may_stop_early": cell.instances == 1,
    }
    with ExitStack() as stack:
        gpu = stack.enter_context(GpuSampler(cell.device))
        children = [stack.enter_context(Measuring(request)) for _ in range(cell.instances)]
        for phase in _PHASES:
            for child in children:
                child.next()  # it is ready
            if phase == _PHASES[-1]:
                gpu.counting.set()
            for child in children:
                child.go()
        found = [child.next()["result"] for child in children]
        gpu.counting.clear()
    return replace(
        _summed(cell, found),
        artefact_id=trial.artefact_id,
        gpu_share=gpu.share,
        gpu_memory_bytes=gpu.memory_bytes,
        power_watts=gpu.watts,
    )


def _request(
    spec: ModelSpec, engine: str, device: str, threads: int | None = None
) -> dict[str, Any]:
    absolute = replace(spec, path=Path(spec.path).resolve())
    return {"spec": spec_to_dict(absolute), "engine": engine, "device": device, "threads": threads}


def _summed(cell: Cell, found: Sequence[Mapping[str, Any]]) -> CellResult:
    """Return what all of a cell's processes did together."""
    engine = [child["engine"] for child in found]
    pipeline = [child["pipeline"] for child in found]
    counts = [len(run["times_ms"]) for run in pipeline]
    waits = [run["disturbed"] for run in pipeline if run["disturbed"] is not None]

    def mean(part: str) -> float:
        # By their runs, as all times together count: the processes don't get as many.
        return statistics.fmean((run[part] for run in pipeline), counts)

    return CellResult(
        cell,
        "done",
        engine_ms=Spread.of([ms for run in engine for ms in run["times_ms"]]),
        pipeline_ms=Spread.of([ms for run in pipeline for ms in run["times_ms"]]),
        engine_fps=_rate(engine, cell.batch),
        pipeline_fps=_rate(pipeline, cell.batch),
        decode_ms=mean("decode_ms"),
        preprocess_ms=mean("preprocess_ms"),
        infer_ms=mean("infer_ms"),
        postprocess_ms=mean("postprocess_ms"),
        load_s=max(child["load_s"] for child in found),
        cpu_share=sum(run["cores"] for run in pipeline),
        memory_bytes=sum(child["memory_bytes"] for child in found),
        disturbed=statistics.fmean(waits) if waits else None,
    )


def _rate(runs: Sequence[Mapping[str, Any]], batch: int) -> float:
    """Return pictures a second of all processes together."""
    return float(sum(len(run["times_ms"]) * batch / run["seconds"] for run in runs))
