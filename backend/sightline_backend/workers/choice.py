"""Choose what a model runs in."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import cast

from sightline_backend.logs import LogOptions
from sightline_backend.settings import Settings
from sightline_backend.workers.engine import load_with
from sightline_backend.workers.messages import EngineOptions
from sightline_backend.workers.process import ProcessRunner
from sightline_backend.workers.runner import Runner
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.load import EngineName
from sightline_engines.picture import PictureLimits
from sightline_engines.types import Engine, ModelSpec

LoadEngine = Callable[[ModelSpec], Engine]


def runners(
    spec: ModelSpec, settings: Settings, limits: PictureLimits, load: LoadEngine | None = None
) -> list[Runner]:
    """Return what runs a model; with a `load` given, or without isolation, a thread.

    What the model was promoted to run on goes before what the server is set to.
    """
    engine = cast(EngineName, spec.engine or settings.engine)
    count = at_once(engine, settings) if settings.isolate else 1
    threads = settings.threads
    if threads is None and count > 1:
        threads = max(1, cores() // count)
    logs = LogOptions(settings.log_level, settings.log_format)
    options = EngineOptions(engine, settings.device, threads, logs, settings.triton)
    if load is None and not settings.isolate:
        load = partial(load_with, options=options)
    if load is not None:
        return [ThreadRunner(spec, load, limits)]
    return [ProcessRunner(spec, options, limits, settings.max_batch) for _ in range(count)]


def at_once(engine: EngineName, settings: Settings) -> int:
    """Return how many batches of a model may be in hand: at a server its own are at work, too."""
    if engine == "triton":
        return max(settings.instances, settings.triton_in_flight)
    return settings.instances


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
