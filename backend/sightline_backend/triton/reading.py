"""One look at Triton: is it there, what has it loaded, how has that fared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from sightline_backend.triton.kinds import Known, known_by_config, known_by_name
from sightline_engines.errors import EngineAwayError, SightlineError
from sightline_engines.triton.client import Client
from sightline_engines.triton.control import LOADED, Control, ModelState
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.errors import ModelGoneError
from sightline_engines.triton.gpu_figures import GpuFigures, gpu_figures
from sightline_engines.triton.metrics_page import Sample, fetch_metrics
from sightline_engines.triton.statistics import (
    Key,
    ModelStatistics,
    Percentiles,
    read_percentiles,
    read_statistics,
)

METRICS_S = 1.0  # most time for the page of metrics, which can be left out


@dataclass(frozen=True, slots=True)
class ModelReading:
    """A model in Triton's repository."""

    state: ModelState
    known: Known
    statistics: ModelStatistics | None  # None: it isn't loaded
    percentiles: Percentiles


@dataclass(frozen=True, slots=True)
class DeploymentReading:
    """A deployment whose files are kept."""

    deployment: Deployment
    active: bool  # the stable names lead to it
    wanted: bool  # active, and nobody unloaded any of it on purpose
    serves: bool  # both stable names are READY with its number
    loaded: bool  # all of its parts are READY
    rollback_to: int | None  # of the active one


@dataclass(frozen=True, slots=True)
class Reading:
    """All of it, as it was at one moment."""

    live: bool = False
    ready: bool = False
    version: str = ""
    trouble: str | None = None
    models: tuple[ModelReading, ...] = ()
    deployments: tuple[DeploymentReading, ...] = ()
    gpus: tuple[GpuFigures, ...] = ()
    states: dict[str, str] = field(default_factory=dict)  # of each model that is or was loaded


@dataclass(frozen=True, slots=True)
class _Kept:
    """A deployment as its files tell of it."""

    deployment: Deployment
    active: bool
    before: Deployment | None  # what a rollback of its model leads to


class Look:
    """Reads one server; for one thread at a time."""

    def __init__(
        self,
        client: Client,
        deployments: Deployments | None,
        metrics_url: str | None,
        timeout_s: float,
    ) -> None:
        """`timeout_s` is for all of a reading together."""
        self._client = client
        self._control = Control(client, deployments.repository if deployments else None)
        self._deployments = deployments
        self._metrics_url = metrics_url
        self._timeout_s = timeout_s
        self._configs: dict[tuple[str, str], Known] = {}  # of what is loaded
        self._until_s = 0.0

    def read(self) -> Reading:
        """Return the state of things; a server that is away is a state, too."""
        self._until_s = time.monotonic() + self._timeout_s
        kept, trouble = self._kept()
        live = ready = False
        try:
            live = self._client.live(self._left_s())
            ready = live and self._client.server_ready(self._left_s())
            version = self._client.server(self._left_s()).version
            states = self._control.states(self._left_s())
            samples = self._samples()
            models = self._models(_shown(states), kept, samples)
        except SightlineError as error:
            if isinstance(error, EngineAwayError):
                live = ready = False
            left = self._deployments_of(kept, [])
            return Reading(live, ready, trouble=error.message, deployments=left)
        return Reading(
            live=live,
            ready=ready,
            version=version,
            trouble=trouble,
            models=tuple(models),
            deployments=self._deployments_of(kept, states),
            gpus=gpu_figures(samples),
            states={one.state.name: one.state.state for one in models if one.state.state},
        )

    def _kept(self) -> tuple[Sequence[_Kept], str | None]:
        """Return the deployments with files, and what is wrong there."""
        if self._deployments is None:
            return (), None
        try:
            found = self._deployments.all()
            models = dict.fromkeys(one.model for one in found)
            active = {name: self._deployments.active(name) for name in models}
            before = {name: self._deployments.previous(name) for name in models}
        except SightlineError as error:
            return (), error.message
        return [_Kept(one, one == active[one.model], before[one.model]) for one in found], None

    def _samples(self) -> tuple[Sample, ...]:
        if self._metrics_url is None:
            return ()
        try:
            return fetch_metrics(self._metrics_url, min(METRICS_S, self._left_s()))
        except EngineAwayError:  # many keep that port closed; all else is known without it
            return ()

    def _models(
        self,
        states: Sequence[ModelState],
        kept: Sequence[_Kept],
        samples: Sequence[Sample],
    ) -> list[ModelReading]:
        counted = read_statistics(self._client.statistics(timeout_s=self._left_s()))
        percentiles = read_percentiles(samples)
        active = {one.deployment.model: one.deployment.number for one in kept if one.active}
        loaded = {(one.name, one.version) for one in states if one.state == "READY"}
        self._configs = {key: known for key, known in self._configs.items() if key in loaded}
        return [
            ModelReading(
                one,
                self._known(one, known_by_name(one.name, active)),
                counted.get((one.name, one.version)),
                _percentiles(percentiles, one),
            )
            for one in states
        ]

    def _known(self, state: ModelState, by_name: Known) -> Known:
        """Return what a model is, from its config once it is READY; asked for once."""
        key = state.name, state.version
        if state.state != "READY":
            return by_name
        if key not in self._configs:
            try:
                config = self._client.config(*key, timeout_s=self._left_s())
            except ModelGoneError:  # unloaded meanwhile
                return by_name
            self._configs[key] = known_by_config(config, by_name)
        return self._configs[key]

    def _deployments_of(
        self, kept: Sequence[_Kept], states: Sequence[ModelState]
    ) -> tuple[DeploymentReading, ...]:
        ready = {(one.name, one.version) for one in states if one.state == "READY"}
        return tuple(self._deployment(one, ready) for one in kept)

    def _deployment(self, kept: _Kept, ready: Set[tuple[str, str]]) -> DeploymentReading:
        one, names = kept.deployment, {name for name, _ in ready}
        unloaded = kept.active and self._control.unloaded_on_purpose(*one.stable, *one.parts)
        return DeploymentReading(
            deployment=one,
            active=kept.active,
            wanted=kept.active and not unloaded,
            serves=all((name, str(one.number)) in ready for name in one.stable),
            loaded=all(name in names for name in one.parts),
            rollback_to=kept.before.number if kept.active and kept.before is not None else None,
        )

    def _left_s(self) -> float:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise EngineAwayError(
                f"Triton at {self._client.url} takes longer than {self._timeout_s:g} s to say how "
                "it is. See whether it hangs, or raise SIGHTLINE_TRITON_TIMEOUT_MS."
            )
        return left_s


def _shown(states: Sequence[ModelState]) -> list[ModelState]:
    """Return what is loaded, and of every other name what its last load came to."""
    loaded = {one.name for one in states if one.state in LOADED}
    last: dict[str, ModelState] = {}
    for one in states:
        there = last.get(one.name)
        if one.name not in loaded and (there is None or _number(one) >= _number(there)):
            last[one.name] = one
    shown = [one for one in states if one.state in LOADED] + list(last.values())
    return sorted(shown, key=lambda one: (one.name, _number(one)))


def _number(state: ModelState) -> int:
    return int(state.version) if state.version.isdecimal() else 0


def _percentiles(known: Mapping[Key, Percentiles], state: ModelState) -> Percentiles:
    """Return a version's percentiles; an ensemble's are counted under version 1, whatever it is."""
    found = known.get((state.name, state.version)) or known.get((state.name, "1"))
    return found or Percentiles()
