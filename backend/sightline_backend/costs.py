"""What a batch's frames cost beside the engine."""

from __future__ import annotations

from sightline_backend.batch import BatchRun, Done


def costs_beside(run: BatchRun, elapsed_s: float) -> list[float]:
    """Return what each frame of a batch cost beside the engine, in seconds.

    That is its own decoding, as far as it is known, and an equal part of the rest.
    """
    own_s = [o.timings.decode / 1e3 if isinstance(o, Done) else 0.0 for o in run.outcomes]
    rest_s = max(0.0, elapsed_s - (run.engine_s or 0.0) - sum(own_s))
    failed = sum(not isinstance(o, Done) for o in run.outcomes)
    # What the decoding of bad pictures took is theirs; the way to the worker is everybody's.
    theirs_s = min(rest_s, max(0.0, run.decode_s - sum(own_s)))
    each_s = (rest_s - theirs_s) / len(own_s)
    return [
        each_s + (own if isinstance(outcome, Done) else theirs_s / failed)
        for own, outcome in zip(own_s, run.outcomes, strict=True)
    ]
