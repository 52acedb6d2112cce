"""A server's parts around a real store and fake engines: for promotions and what follows them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sightline_backend.batch import Done, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.jobs.job import Job, State
from sightline_backend.jobs.requests import ConvertRequest, JobRequest, Kind
from sightline_backend.lane import Observer
from sightline_backend.pool import EnginePool
from sightline_backend.serving.plans import Plans
from sightline_backend.serving.serving import Serving
from sightline_backend.serving.turns import Machine
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import now
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.errors import EngineError
from sightline_engines.passport import Passport
from sightline_engines.picture import PictureLimits
from sightline_engines.pipeline import default_options
from sightline_engines.types import Family, ModelSpec
from tests.backend.fake_runner import Seen as Quiet
from tests.engines.tiny import constant_model
from tests.fakes import FakeEngine, encoded, grey

PASSPORT = Passport("GPU", "9.0", "11.4", "580", "", "", 1, 4, 8, (64, 64))


class Seen(Quiet):
    """Keeps what else an observer is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.compared: list[bool] = []

    def swapped(self, result: str) -> None:
        self.told.append(result)

    def shadow_compared(self, agreed: bool) -> None:
        self.compared.append(agreed)

    def plan_rebuild(self, result: str) -> None:
        self.told.append(result)


class FakeJobs:
    """Ends each build as it is told to, once `go` is set."""

    def __init__(self) -> None:
        self.asked: list[ConvertRequest] = []
        self.go = asyncio.Event()
        self.made: Callable[[], int] | None = None  # None: the build fails
        self.code = "bad_model"  # with this

    async def submit(self, kind: Kind, request: JobRequest, parent_id: int | None = None) -> Job:
        assert isinstance(request, ConvertRequest)
        self.asked.append(request)
        return self._job("queued", None)

    async def finished(self, job_id: int, on_event: Callable[[Job], None]) -> Job:
        await self.go.wait()
        if self.made is None:
            return self._job("failed", None)
        return self._job("done", {"artefact_id": self.made()})

    def _job(self, state: State, result: dict[str, Any] | None) -> Job:
        error = {"code": self.code, "message": "no TensorRT"} if state == "failed" else None
        return Job(7, None, "convert", "", {}, "cpu", state, 0, "", result, error, "", now())


@dataclass(slots=True, eq=False)
class Bench:
    """A server's parts, around a real store and fake engines."""

    store: Store
    pool: EnginePool
    serving: Serving
    plans: Plans
    jobs: FakeJobs
    seen: Seen
    broken: set[str]  # hashes of files that can't be loaded
    held: dict[str, threading.Event]  # by hash: what must be set before one is loaded
    engines: list[FakeEngine]

    def version(self) -> str:
        return self.pool.default.spec.sha256


@contextmanager
def filled_store(tmp_path: Path) -> Iterator[Store]:
    """Give a store that holds one model, cam, of two classes and 64x64 pixels."""
    with closing(open_store(tmp_path / "models")) as store:
        raw = np.array([[16, 16, 48, 48, 0.9, 0]], np.float32)
        labels = {"names": "{0: 'person', 1: 'face'}"}
        path = constant_model(tmp_path / "cam.onnx", raw, batch="n", metadata=labels)
        path.with_suffix(".json").write_text('{"family": "end2end", "labels": ["person", "face"]}')
        store.models.add(path, "cam")
        yield store


def first(store: Store) -> Artefact:
    return store.models.model("cam").versions[0].artefacts[0]


def made(
    store: Store,
    content: bytes,
    suffix: str = ".onnx",
    precision: str = "int8",
    origin: str = "job 1",
    **changes: Any,
) -> Artefact:
    """Add what a conversion might have made."""
    beside = first(store)
    assert beside.spec is not None
    path = store.folder / f"made{suffix}"
    path.write_bytes(content)
    spec = replace(beside.spec, path=path, precision=precision, sha256="", **changes)
    return store.models.add_artefact(beside, spec, made_from_id=beside.id, origin=origin)


def measured(
    store: Store,
    artefact: Artefact,
    value: float | None = None,
    sha: str = "coco",
    *,
    size: int = 64,
    per_class: dict[str, float] | None = None,
    p95_ms: float | None = None,
    engine: str = "onnxruntime",
    job_id: int | None = None,
    **cell: Any,
) -> None:
    """Keep what a benchmark might have found."""
    figures: dict[str, Any] = {
        "cell": {"batch": 1, "instances": 1, "device": "cpu", "input_size_wh": [size, size], **cell}
    }
    if value is not None:
        accuracy = {"map50": 0.5, "map50_95": value, "dataset_sha256": sha}
        rows = {name: {"ap50_95": ap, "boxes": 9} for name, ap in (per_class or {}).items()}
        figures["accuracy"] = {**accuracy, "per_class": rows}
    if p95_ms is not None:
        figures["pipeline_ms"] = {"p95": p95_ms}
    store.measurements.add(artefact.id, engine, figures, job_id)


@asynccontextmanager
async def bench_of(
    store: Store,
    problem: Callable[[ModelSpec], str | None] = lambda _: None,
    *,
    model: str = "cam",
    engine: str = "auto",
    broken: Callable[[ModelSpec], bool] = lambda _: False,
) -> AsyncIterator[Bench]:
    seen, jobs, machine = Seen(), FakeJobs(), Machine()
    hashes: set[str] = set()
    held: dict[str, threading.Event] = {}
    engines: list[FakeEngine] = []

    def load(spec: ModelSpec) -> FakeEngine:
        if (gate := held.get(spec.sha256)) is not None:
            assert gate.wait(10)
        if spec.sha256 in hashes or broken(spec):
            raise EngineError("The driver is too old.")
        engines.append(FakeEngine(spec, boxes=2 if spec.precision == "int8" else 1))
        assert spec.family == Family.END2END
        return engines[-1]

    observer: Observer = seen

    def make(spec: ModelSpec) -> Batcher:
        return Batcher(
            [ThreadRunner(spec, load, PictureLimits())], BatchLimits(), observer, machine
        )

    plans = Plans(store, problem, engine=engine)
    pool = EnginePool(store.models, make, model, fit=plans.fit, hold=store.models.hold)
    async with pool:
        serving = Serving(store, pool, jobs, observer, plans=plans)
        async with serving:
            yield Bench(store, pool, serving, plans, jobs, seen, hashes, held, engines)


async def frames(bench: Bench, count: int) -> None:
    """Send frames to what serves, one after the other; each must be answered."""
    async with bench.pool.using("cam") as batcher:
        stream = batcher.open_stream()
        for _ in range(count):
            work = Work(encoded(grey(200)), default_options(batcher.spec), 0.0, float("inf"))
            assert isinstance(await batcher.submit(stream, work), Done)
            await asyncio.sleep(0.005)
        batcher.close_stream(stream)


def promoted_plan(store: Store, precision: str = "fp16", origin: str = "job 1") -> Artefact:
    """Have a plan in force that was built with driver 580."""
    plan = made(store, b"plan", ".plan", precision, origin, passport=PASSPORT)
    store.promotions.add("cam", plan.id, engine="tensorrt")
    return plan


def needs_driver(driver: str) -> Callable[[ModelSpec], str | None]:
    """Return a passport check of a machine."""

    def problem(spec: ModelSpec) -> str | None:
        if spec.passport is None or spec.passport.driver == driver:
            return None
        return f"built for driver {spec.passport.driver}, here {driver}"

    return problem
