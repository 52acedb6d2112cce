"""Run a batch on a server, or on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sightline_backend.batch import (
    BatchRun,
    Done,
    Failed,
    NotRun,
    Outcome,
    Remote,
    Work,
    run_batch,
)
from sightline_engines.errors import EngineAwayError, SightlineError
from sightline_engines.picture import PictureLimits, read_header
from sightline_engines.triton.remote import PictureAnswer, PictureRefusal, RemoteEngine
from sightline_engines.types import Engine, Timings


def run_any(engine: Engine, works: Sequence[Work], limits: PictureLimits) -> BatchRun:
    """Run a batch as `run_batch` does, and say how it stands with the server if there is one.

    While nobody answers nothing is decoded either. An empty batch only asks how it stands.
    """
    if not isinstance(engine, RemoteEngine):
        return run_batch(engine, works, limits)
    trouble = engine.trouble
    if not works:
        run = BatchRun([])
    elif trouble is not None:
        run = BatchRun([Failed(EngineAwayError.code, trouble)] * len(works))
    else:
        run = _run_pictures(engine, works, limits) or run_batch(engine, works, limits)
    calls = engine.take_calls()
    most = min((one for one in (run.most, *(c.most for c in calls)) if one), default=None)
    return replace(run, most=most, remote=Remote(engine.served, engine.trouble, calls))


def _run_pictures(
    engine: RemoteEngine, works: Sequence[Work], limits: PictureLimits
) -> BatchRun | None:
    """Have the server decode, too; None where it has to be sent tensors.

    It has to for uploads, which come decoded: encoded once more they would lose.
    """
    started_s = time.monotonic()
    outcomes: list[Outcome] = [NotRun("closing")] * len(works)
    sent: dict[int, bytes] = {}
    for index, work in enumerate(works):
        if isinstance(work.picture, np.ndarray):
            return None
        try:
            read_header(work.picture, limits)
            sent[index] = bytes(work.picture)
        except SightlineError as error:
            outcomes[index] = Failed(error.code, error.message)
    if not sent:
        return BatchRun(outcomes)
    try:
        answers = engine.detect_pictures(
            list(sent.values()), [works[index].options for index in sent]
        )
    except SightlineError as error:
        answers = [PictureRefusal(error.code, error.message)] * len(sent)
    if answers is None:
        return None
    ended_s = time.monotonic()
    for index, answer in zip(sent, answers, strict=True):
        outcomes[index] = _outcome(answer, works[index], (started_s, ended_s), len(sent))
    answered = any(isinstance(outcome, Done) for outcome in outcomes)
    return BatchRun(outcomes, engine_s=ended_s - started_s if answered else None)


def _outcome(
    answer: PictureAnswer | PictureRefusal, work: Work, span_s: tuple[float, float], size: int
) -> Outcome:
    if isinstance(answer, PictureRefusal):
        return Failed(answer.code, answer.message)
    started_s, ended_s = span_s
    steps_ms = answer.decode_ms + answer.preprocess_ms + answer.postprocess_ms
    timings = Timings(
        decode=answer.decode_ms,
        queue=(started_s - work.received_s) * 1e3,
        preprocess=answer.preprocess_ms,
        infer=max(0.0, (ended_s - started_s) * 1e3 - steps_ms),  # and the way there and back
        postprocess=answer.postprocess_ms,
        total=(ended_s - work.received_s) * 1e3,
    )
    return Done(answer.detections, answer.size_wh, timings, size)
