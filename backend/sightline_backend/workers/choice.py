"""Choose what a model runs in, and on which processor cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from sightline_backend.settings import Settings
from sightline_backend.workers.messages import EngineOptions
from sightline_backend.workers.process import ProcessRunner
from sightline_backend.workers.runner import Runner
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.load import load_engine
from sightline_engines.picture import PictureLimits
from sightline_engines.types import Engine, ModelSpec

LoadEngine = Callable[[ModelSpec], Engine]


def runners(
    spec: ModelSpec, settings: Settings, limits: PictureLimits, load: LoadEngine | None = None
) -> list[Runner]:
    """Return what runs a model; with a `load` given, or without isolation, a thread."""
    engine, device, threads = settings.engine, settings.device, settings.threads
    if load is None and not settings.isolate:
        load = partial(load_engine, engine=engine, device=device, threads=threads)
    if load is not None:
        return [ThreadRunner(spec, load, limits)]
    count = settings.instances
    shares = core_shares(count) if settings.pin_cores else [None] * count
    if threads is None and count > 1:
        threads = max(1, len(_cores()) // count)
    return [
        ProcessRunner(
            spec, EngineOptions(engine, device, threads, cores), limits, settings.max_batch
        )
        for cores in shares
    ]


def core_shares(count: int, cores: Sequence[int] | None = None) -> list[frozenset[int] | None]:
    """Deal the processor cores out to `count` engines; with more engines than cores, in turn.

    None for every engine where the system can't pin a process.
    """
    if not hasattr(os, "sched_setaffinity"):
        return [None] * count
    cores = _cores() if cores is None else cores
    if count >= len(cores):
        return [frozenset({cores[i % len(cores)]}) for i in range(count)]
    return [
        frozenset(cores[i * len(cores) // count : (i + 1) * len(cores) // count])
        for i in range(count)
    ]


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
