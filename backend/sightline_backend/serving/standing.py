"""What was measured of the models that serve, and of what they replaced: for the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sightline_backend.errors import UnknownError, UnknownModelError
from sightline_backend.jobs.records import JobRecords
from sightline_backend.serving.gate import accuracy_loss, measured, newest_accuracy
from sightline_backend.serving.history import Stand, stands
from sightline_backend.serving.turns import physical_device
from sightline_backend.store.records import Measurement
from sightline_backend.store.store import Store
from sightline_engines.types import Format, ServedModel

_HOST = ("processor", "processors", "gpus")  # of what jobs say of theirs


@dataclass(frozen=True, slots=True)
class Standings:
    """By model; what was never measured is left out."""

    accuracy: dict[str, float] = field(default_factory=dict)  # mAP50-95
    loss: dict[str, float] = field(default_factory=dict)  # against what it replaced
    slowdown: dict[str, float] = field(default_factory=dict)  # its p95 over that one's


def standings(store: Store, served: Iterable[ServedModel]) -> Standings:
    """Return what was measured of what serves; blocks. Raises StoreError.

    A promotion that was forced is compared with nothing: somebody has decided.
    """
    found = Standings()
    for one in served:
        try:
            history = stands(store, store.models.model(one.name))
        except (UnknownError, UnknownModelError):  # a file that the settings name
            continue
        if not history:
            continue
        now = measured(store, history[0].artefact)
        if (accuracy := newest_accuracy(now)) is not None:
            found.accuracy[one.name] = accuracy
        promotion = history[0].promotion
        if promotion is None or promotion.forced or len(history) == 1:
            continue
        before = measured(store, history[1].artefact)
        if (loss := accuracy_loss(before, now)) is not None:
            found.loss[one.name] = loss
        if (ratio := _slowdown(store, one, now, (history[1], before))) is not None:
            found.slowdown[one.name] = ratio
    return found


def _slowdown(
    store: Store,
    served: ServedModel,
    now: Sequence[Measurement],
    before: tuple[Stand, Sequence[Measurement]],
) -> float | None:
    """Return how many times as long a batch of one takes, p95 of the pipeline.

    Of the engine that serves, and of the one that did: of several that may have, the fastest, as
    the engine `auto` takes that. Both on the device that serves, measured on one machine.
    """
    new = next(_times(now, (served.engine,), served.device), None)
    if new is None:
        return None
    stand, earlier = before
    old: dict[str, float] = {}
    for one in _times(earlier, _engines(stand), served.device):
        if one.engine not in old and _same_host(store, one, new):
            old[one.engine] = _p95_ms(one)
    fastest = min(old.values(), default=0.0)
    return _p95_ms(new) / fastest if fastest else None


def _engines(stand: Stand) -> Sequence[str]:
    """Return what may have run an artefact while it served."""
    if stand.engine not in ("", "auto"):
        return (stand.engine,)
    return {
        Format.OPENVINO: ("openvino",),
        Format.TENSORRT: ("tensorrt",),
    }.get(stand.artefact.format, ("onnxruntime", "openvino"))


def _times(
    measured: Sequence[Measurement], engines: Sequence[str], device: str
) -> Iterator[Measurement]:
    """Yield the measurements of one engine with a batch of one, the newest first."""
    for one in reversed(measured):
        cell = one.figures.get("cell") or {}
        alone = (cell.get("batch"), cell.get("instances", 1)) == (1, 1)
        here = physical_device(str(cell.get("device", ""))) == physical_device(device)
        if one.figures.get("pipeline_ms") and alone and here and one.engine in engines:
            yield one


def _p95_ms(one: Measurement) -> float:
    return float(one.figures["pipeline_ms"]["p95"])


def _same_host(store: Store, one: Measurement, other: Measurement) -> bool:
    """Tell whether two measurements are known to come from one machine."""
    ids = {one.job_id, other.job_id}
    if None in ids:
        return False
    if len(ids) == 1:
        return True
    jobs = JobRecords(store.database).some([job_id for job_id in ids if job_id is not None])
    hosts = [_host((job.result or {}).get("host")) for job in jobs]
    return len(hosts) == len(ids) and hosts[0] is not None and hosts[0] == hosts[1]


def _host(said: dict[str, Any] | None) -> tuple[object, ...] | None:
    return tuple(said.get(name) for name in _HOST) if said else None
