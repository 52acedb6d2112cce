"""What is loaded for a model: what was promoted, or what stands in for it on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sightline_backend.serving.history import stands
from sightline_backend.serving.loading import Fitted
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store
from sightline_engines.errors import SightlineError
from sightline_engines.triton.options import TritonOptions
from sightline_engines.types import Format, ModelSpec

Problem = Callable[[ModelSpec], str | None]


@dataclass(frozen=True, slots=True)
class StalePlan:
    """A plan that can't run here, and nothing built here stands in for it."""

    spec: ModelSpec
    plan: Artefact
    source: Artefact  # the ONNX that serves for it
    why: str


class Plans:
    """Chooses what to load for a model; `fit` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        problem: Problem | None = None,
        *,
        engine: str = "auto",
        triton: TritonOptions | None = None,
    ) -> None:
        """`problem` says why a plan can't run here, None if it can: the passport check.

        `engine` is what the server is set to, `triton` the one that engine triton asks.
        """
        self._store = store
        self._problem = problem
        self._engine = engine
        self._triton = triton
        self.stale: dict[str, StalePlan] = {}  # by model; any thread adds to it

    def problem(self, spec: ModelSpec) -> str | None:
        """Return why a file can't run here; None for anything but a plan that is to."""
        if spec.format is not Format.TENSORRT or self._at_triton(spec):
            return None
        if self._problem is None:
            from sightline_engines.passport_check import passport_problem

            return passport_problem(spec)
        return self._problem(spec)

    def absence(self, spec: ModelSpec) -> str | None:
        """Return why Triton can't run a file that is to run there; asks it, so this blocks."""
        if not self._at_triton(spec):
            return None
        from sightline_engines.triton.standby import missing_at

        return missing_at(spec, self._triton)

    def _at_triton(self, spec: ModelSpec) -> bool:
        return (spec.engine or self._engine) == "triton"

    def fit(self, spec: ModelSpec) -> Iterator[Fitted]:
        """Yield what may be loaded for a model, the best first; blocks at each step.

        In place of what was promoted and doesn't load comes what served before it. Not so while
        it is being promoted: who asks for a file gets it, or hears why not.
        """
        yield from self._itself(spec)
        for earlier in self._earlier(spec):
            if self.problem(earlier) is None:
                yield Fitted(earlier)

    def _itself(self, spec: ModelSpec) -> Iterator[Fitted]:
        """Yield the file; for a plan of another machine those built here, then its ONNX."""
        why = self.problem(spec)
        model = self._store.models.model(spec.name) if why is not None else None
        artefacts = [one for v in model.versions for one in v.artefacts] if model else []
        plan = next((one for one in artefacts if one.sha256 == spec.sha256), None)
        if why is None or plan is None:
            yield Fitted(spec)
            return
        alike = [one for one in _alike(plan, artefacts) if self.problem(one) is None]
        source = _source(plan, artefacts)
        if not alike and source is not None:
            self.stale[spec.name] = StalePlan(spec, plan, source, why)
        for other in alike:
            yield Fitted(replace(other, name=spec.name, engine=spec.engine))
        if source is None or source.spec is None:
            yield Fitted(spec)  # loading it says what is wrong
        else:
            yield Fitted(replace(source.spec, name=spec.name, engine="auto"), why)

    def _earlier(self, spec: ModelSpec) -> Sequence[ModelSpec]:
        """Return what may serve where what was promoted once doesn't load, the newest first.

        Whatever engine the server is set to now: it may be the very reason. Of what is in force
        that is all that served before it, too.
        """
        try:
            found = stands(self._store, self._store.models.model(spec.name))
        except SightlineError:  # a file that the settings name, or no database
            return ()
        known = [(one.artefact.path, one.engine) for one in found]
        if (spec.path, spec.engine) not in known or found[0].promotion is None:
            return ()
        later = [] if spec.engine else [replace(spec, engine="auto")]
        if known[0] == (spec.path, spec.engine):
            later += [
                replace(one.artefact.spec, name=spec.name, engine=one.engine or "auto")
                for one in found[1:]
                if one.artefact.spec is not None
            ]
        once = {(one.path, one.engine): one for one in later}
        once.pop((spec.path, spec.engine or self._engine), None)  # it has been tried
        return list(once.values())


def _alike(plan: Artefact, artefacts: Sequence[Artefact]) -> list[ModelSpec]:
    """Return the plans that do what a plan does, of the same source and the newest first.

    The plan itself is among them: if it was built again byte for byte, its passport is new.
    """
    found = [
        (one.made_from_id == plan.made_from_id, one.id, one.spec)
        for one in artefacts
        if one.spec is not None
        and plan.spec is not None
        and (one.version, one.format, one.precision, one.spec.input_size_wh)
        == (plan.version, plan.format, plan.precision, plan.spec.input_size_wh)
    ]
    return [spec for *_, spec in sorted(found, key=lambda one: one[:2], reverse=True)]


def _source(plan: Artefact, artefacts: Sequence[Artefact]) -> Artefact | None:
    """Return the ONNX file that a plan was made from, or one of its version."""
    onnx = [a for a in artefacts if a.format is Format.ONNX and a.spec is not None]
    sha256 = plan.passport.source_sha256 if plan.passport is not None else None
    of_version = [a for a in onnx if a.version == plan.version]
    exact = [a for a in onnx if a.id == plan.made_from_id or a.sha256 == sha256]
    return next(iter([*exact, *of_version]), None)
