"""What server and worker process say to each other.

Batches and their outcomes cross as plain tuples: that costs a third of what pickling our
classes does, with every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sightline_backend.batch import BatchRun, Done, Failed, NotRun, Outcome, Remote, Work
from sightline_backend.logs import LogOptions
from sightline_backend.workers.arena import Arena
from sightline_backend.workers.runner import Measured
from sightline_engines.load import EngineName
from sightline_engines.picture import PictureLimits
from sightline_engines.pipeline import DetectOptions
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.remote import Call
from sightline_engines.types import Detections, ModelSpec, ServedModel, Timings

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a worker process runs its engine."""

    engine: EngineName = "auto"
    device: str | None = None
    threads: int | None = None
    logs: LogOptions = field(default_factory=LogOptions)
    triton: TritonOptions | None = None  # the server, for engine triton


@dataclass(frozen=True, slots=True)
class Load:
    """Server → worker, first: load this."""

    spec: ModelSpec
    options: EngineOptions
    limits: PictureLimits
    measure_up_to: int | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Worker → server: ready for batches."""

    served: ServedModel
    measured: Measured


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """Worker → server: the model can't be run here; nothing follows."""

    code: str
    message: str


def pack_works(works: Sequence[Work], arena: Arena) -> list[Row]:
    """Put a batch's pictures into the arena and return the rest of it."""
    arena.clear()
    return [
        (
            arena.put(work.picture),
            _options_row(work.options),
            work.received_s,
            work.size_wh,
            work.decode_ms,
        )
        for work in works
    ]


def unpack_works(rows: Sequence[Row], arena: Arena) -> list[Work]:
    """Return the batch, its pictures still in the arena."""
    return [
        Work(
            picture=arena.get(span),
            options=DetectOptions(*options),
            received_s=received_s,
            deadline_s=0.0,  # the scheduler's business
            size_wh=size_wh,
            decode_ms=decode_ms,
        )
        for span, options, received_s, size_wh, decode_ms in rows
    ]


def pack_run(run: BatchRun) -> Row:
    """Return what became of a batch as plain values."""
    outcomes = [_pack(outcome) for outcome in run.outcomes]
    return outcomes, run.decode_s, run.engine_s, run.most, _remote_row(run.remote)


def unpack_run(row: Row) -> BatchRun:
    """Return what became of a batch."""
    outcomes, decode_s, engine_s, most, remote = row
    found = [_unpack(outcome) for outcome in outcomes]
    return BatchRun(found, decode_s, engine_s, most, _remote(remote))


def _remote_row(remote: Remote | None) -> Row | None:
    if remote is None:
        return None
    served = remote.served
    kind = served.name, served.version, served.engine, served.precision
    who = *kind, served.device, served.fallback
    calls = [(call.result, call.seconds, call.most) for call in remote.calls]
    return who, remote.trouble, calls


def _remote(row: Row | None) -> Remote | None:
    if row is None:
        return None
    who, trouble, calls = row
    return Remote(ServedModel(*who), trouble, tuple(Call(*call) for call in calls))


def _options_row(options: DetectOptions) -> Row:
    return options.conf, options.iou, options.classes, options.max_detections


def _pack(outcome: Outcome) -> Row:
    match outcome:
        case Done(found, size_wh, times, batch_size):
            boxes = found.xyxy.tobytes(), found.score.tobytes(), found.class_id.tobytes()
            stages = times.decode, times.queue, times.preprocess, times.infer
            return *boxes, size_wh, (*stages, times.postprocess, times.total), batch_size
        case Failed(code, message):
            return code, message
        case NotRun(reason):
            return (reason,)


def _unpack(row: Row) -> Outcome:
    match row:
        case (bytes() as xyxy, bytes() as score, bytes() as class_id, size_wh, times, batch_size):
            found = Detections(
                np.frombuffer(xyxy, np.float32).reshape(-1, 4),
                np.frombuffer(score, np.float32),
                np.frombuffer(class_id, np.int32),
            )
            return Done(found, size_wh, Timings(*times), batch_size)
        case (str() as code, str() as message):
            return Failed(code, message)
        case (str() as reason,):
            return NotRun(reason)
    raise ValueError(f"no outcome of a frame: {row!r}")
