"""Load the engine that a runner was told to run."""

from __future__ import annotations

from sightline_backend.workers.messages import EngineOptions
from sightline_engines.load import load_engine
from sightline_engines.triton.standby import load_remote
from sightline_engines.types import Engine, ModelSpec


def load_with(spec: ModelSpec, options: EngineOptions) -> Engine:
    """Load a model as `load_engine` does.

    A server for engine triton may still be away: it is looked for, and frames fail meanwhile or
    its standby answers. Else nothing could be deployed to a Triton that is empty.
    """
    if options.engine == "triton":
        return load_remote(spec, options.triton, threads=options.threads, may_be_away=True)
    return load_engine(spec, options.engine, device=options.device, threads=options.threads)
