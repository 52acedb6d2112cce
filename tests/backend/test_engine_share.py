"""Several models on one device: turns by least engine time, promises counted together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_backend.admission import RateWish
from sightline_backend.batch import BatchRun, Done, Remote, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.errors import Refused
from sightline_backend.serving.engine_share import MOST_AHEAD_S, EngineShare, Rank
from sightline_backend.serving.turns import Machine, physical_device, turns_at_once
from sightline_backend.workers.runner import Measured
from sightline_engines.pipeline import default_options
from sightline_engines.types import Detections, ServedModel, Timings
from tests.backend.fake_runner import FakeRunner, Seen
from tests.backend.running import until
from tests.fakes import SPEC, named


def played(
    costs_s: Sequence[float], seconds: float, share: EngineShare | None = None
) -> list[float]:
    """Have models that always have work take turns; return the engine time of each."""
    share = share or EngineShare()
    had = [0.0] * len(costs_s)
    names = [str(number) for number in range(len(costs_s))]
    for name in names:
        share.wait(name)
    while names and sum(had) < seconds:
        at = share.first([(Rank.SHARED, name) for name in names])
        share.begin(names[at], Rank.SHARED, 0.01)
        share.end(names[at], Rank.SHARED, 0.01, costs_s[at])
        share.wait(names[at])
        had[at] += costs_s[at]
    return had


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.005, 3.0), max_size=5))
def test_models_that_always_have_work_get_the_same_engine_time(costs_s: list[float]) -> None:
    had = played(costs_s, 60.0)
    if had:
        assert max(had) - min(had) <= 2 * max(costs_s) + 1e-9


def test_a_model_that_sat_idle_saved_nothing_up() -> None:
    share = EngineShare()
    share.wait("1")  # and goes
    played([0.05], 10.0, share)
    had = played([0.05, 0.05], 1.0, share)
    assert had[1] - had[0] <= 0.1 + 1e-9


def test_promised_work_goes_first_and_its_debt_is_soon_forgiven() -> None:
    share = EngineShare()
    for model in ("promised", "other"):
        share.wait(model)
    waiting = [(Rank.SHARED, "other"), (Rank.PROMISED, "promised")]
    for _ in range(1000):
        assert share.first(waiting) == 1
        share.begin("promised", Rank.PROMISED, 0.01)
        share.end("promised", Rank.PROMISED, 0.01, 0.01)
        share.wait("promised")
    waiting = [(Rank.SHARED, "promised"), (Rank.SHARED, "other")]
    turns = 0
    while share.first(waiting) == 1:
        share.begin("other", Rank.SHARED, 0.01)
        share.wait("other")
        turns += 1
    assert turns * 0.01 <= MOST_AHEAD_S + 0.02


def test_a_trial_is_not_charged_to_the_model_that_it_runs_beside() -> None:
    share = EngineShare()
    for model in ("tried", "other"):
        share.wait(model)
    share.begin("tried", Rank.BACKGROUND, 0.3)
    share.end("tried", Rank.BACKGROUND, 0.3, 0.4)
    share.begin("other", Rank.SHARED, 0.1)
    assert share.first([(Rank.SHARED, "other"), (Rank.SHARED, "tried")]) == 1


def test_background_work_goes_last_whatever_it_had() -> None:
    share = EngineShare()
    share.begin("busy", Rank.SHARED, 10.0)
    assert share.first([(Rank.BACKGROUND, "idle"), (Rank.SHARED, "busy")]) == 1


class Timed(FakeRunner):
    """Takes its time for a batch, and notes who else was at work."""

    def __init__(self, name: str, seconds: float, at_work: list[str], device: str = "CPU") -> None:
        super().__init__()
        self.device = device
        self.name, self.seconds, self.at_work = name, seconds, at_work
        self.most_at_once = 0
        self.busy_s = 0.0

    @property
    def spec(self):  # type: ignore[no-untyped-def]
        return named(self.name)

    @property
    def served(self) -> ServedModel:
        return replace(super().served, device=self.device)

    async def start(self, measure_up_to: int | None) -> Measured:
        return Measured({1: self.seconds})

    async def run(self, works: Sequence[Work], expected_s: float) -> BatchRun:
        self.at_work.append(self.name)
        self.most_at_once = max(self.most_at_once, len(self.at_work))
        started_s = time.monotonic()
        try:
            if self.endless:
                await asyncio.Event().wait()
            await asyncio.sleep(self.seconds)
        finally:
            self.at_work.remove(self.name)
            self.busy_s += time.monotonic() - started_s
        done = Done(Detections.empty(), (64, 64), Timings(), len(works))
        return BatchRun([done] * len(works), 0.0, self.seconds, None, self.remote)


def work() -> Work:
    now_s = time.monotonic()
    return Work(b"never read", default_options(SPEC), now_s, now_s + 60.0)


async def flood(batcher: Batcher, counts: Counter[str]) -> None:
    """Keep four streams busy."""

    async def stream() -> None:
        place = batcher.open_stream()
        while True:
            if isinstance(await batcher.submit(place, work()), Done):
                counts[batcher.spec.name] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(stream())


async def test_two_models_under_load_get_half_of_the_engine_time_each() -> None:
    machine, at_work, counts = Machine(), list[str](), Counter[str]()
    light, heavy = Timed("light", 0.002, at_work), Timed("heavy", 0.008, at_work)
    async with (
        Batcher([light], BatchLimits(), Seen(), machine) as one,
        Batcher([heavy], BatchLimits(), Seen(), machine) as other,
    ):
        tasks = [asyncio.create_task(flood(batcher, counts)) for batcher in (one, other)]
        await until(lambda: counts["heavy"] >= 60)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert light.most_at_once == heavy.most_at_once == 1
    assert light.busy_s == pytest.approx(heavy.busy_s, rel=0.15)
    assert counts["light"] > 2 * counts["heavy"]


@pytest.mark.parametrize(
    ("machine", "devices", "most"),
    [
        (Machine(), ["CPU"], 1),
        (Machine(2), ["CPU"], 2),
        (Machine(cores=8), ["CPU"], 1),
        (Machine(cores=8), ["CUDA:0", "TensorRT:0"], 3),
        (Machine(cores=4), ["CUDA:0", "TensorRT:0"], 2),
        (Machine(in_flight=1), ["Triton here:8001", "Triton there:8001"], 3),
    ],
)
async def test_as_many_engines_work_at_once_as_the_device_has_turns(
    machine: Machine, devices: list[str], most: int
) -> None:
    at_work, counts = list[str](), Counter[str]()
    runners = [
        Timed(name, 0.002, at_work, devices[n % len(devices)]) for n, name in enumerate("abc")
    ]
    batchers = [Batcher([runner], BatchLimits(), Seen(), machine) for runner in runners]
    async with batchers[0], batchers[1], batchers[2]:
        tasks = [asyncio.create_task(flood(batcher, counts)) for batcher in batchers]
        await until(lambda: min(counts[name] for name in "abc") >= 20)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert max(runner.most_at_once for runner in runners) == most


async def test_an_engine_that_hangs_holds_no_other_up_for_long() -> None:
    machine, at_work = Machine(), list[str]()
    hung, well = Timed("hung", 0.002, at_work), Timed("well", 0.002, at_work)
    hung.endless = True
    async with (
        Batcher([hung], BatchLimits(), Seen(), machine) as one,
        Batcher([well], BatchLimits(), Seen(), machine) as other,
    ):
        stuck = one.submit(one.open_stream(), work())
        place = other.open_stream()
        async with asyncio.timeout(3):
            for _ in range(5):
                assert isinstance(await other.submit(place, work()), Done)
        stuck.cancel()
        for task in one._tasks:
            task.cancel()


async def test_what_waits_for_a_turn_ends_when_its_model_is_closed() -> None:
    machine, at_work = Machine(), list[str]()
    slow, waits = Timed("slow", 0.3, at_work), Timed("waits", 0.002, at_work)
    async with Batcher([slow], BatchLimits(), Seen(), machine) as one:
        first = one.submit(one.open_stream(), work())
        await asyncio.sleep(0.01)
        async with asyncio.timeout(2), Batcher([waits], BatchLimits(), Seen(), machine) as other:
            waiting = other.submit(other.open_stream(), work())
            await asyncio.sleep(0.01)
        assert not isinstance(await waiting, Done)
        assert isinstance(await first, Done)


async def test_a_promise_counts_what_other_models_have_promised() -> None:
    machine, at_work = Machine(), list[str]()
    a, b = Timed("a", 0.01, at_work), Timed("b", 0.02, at_work)
    async with (
        Batcher([a], BatchLimits(), Seen(), machine) as one,
        Batcher([b], BatchLimits(), Seen(), machine) as other,
    ):
        half = one.open_stream(RateWish(fps=50))  # of 100: half of the machine
        with pytest.raises(Refused, match="no other model has work"):
            other.open_stream(RateWish(fps=20))  # of 50; 15 are left of the 80 %
        assert other.open_stream(RateWish(fps=20, min_fps=10)).fps == pytest.approx(15.0, abs=0.2)
        with pytest.raises(Refused):
            one.open_stream(RateWish(fps=5))
        one.close_stream(half)
        assert one.open_stream(RateWish(fps=49)).fps == 49


async def test_promises_move_with_their_streams_when_a_model_is_swapped() -> None:
    machine, at_work = Machine(), list[str]()
    a, b = Timed("a", 0.05, at_work), Timed("a", 0.04, at_work)
    async with (
        Batcher([a], BatchLimits(), Seen(), machine) as old,
        Batcher([b], BatchLimits(), Seen(), machine) as new,
    ):
        streams = [old.open_stream(RateWish(fps=3.2)) for _ in range(4)]
        for _ in range(50):
            old._scheduler.times.observe(1, 0.1)  # it keeps less than half of what it promised
        with pytest.raises(Refused):
            new.open_stream(RateWish(fps=8))  # of 25; 7.2 are left of the 80 %
        moved = [new.take_over(RateWish(old.renounce(stream))) for stream in streams]
        assert [stream.fps for stream in moved] == [3.2] * 4
        assert new.open_stream(RateWish(fps=7)).fps == 7


async def test_a_servers_standby_takes_turns_with_the_models_of_this_machine() -> None:
    machine, at_work = Machine(in_flight=2), list[str]()
    remote, local = (
        Timed("remote", 0.002, at_work, "Triton there:8001"),
        Timed("local", 0.002, at_work),
    )
    there = replace(remote.served, engine="triton")
    here = replace(there, engine="onnxruntime", device="CPU", fallback="It is down.")
    counts = Counter[str]()
    async with (
        Batcher([remote], BatchLimits(), Seen(), machine) as one,
        Batcher([local], BatchLimits(), Seen(), machine) as other,
    ):
        for served, most in ((there, 2), (here, 1), (there, 2)):
            remote.remote = Remote(served, None)
            assert isinstance(await one.submit(one.open_stream(), work()), Done)
            remote.most_at_once = local.most_at_once = 0
            counts.clear()
            tasks = [asyncio.create_task(flood(batcher, counts)) for batcher in (one, other)]
            await until(lambda: min(counts["remote"], counts["local"]) >= 20)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert max(remote.most_at_once, local.most_at_once) == most
        assert set(machine.turns("CPU")._members) == {other}
    assert not machine.turns("triton")._members


async def test_models_on_different_devices_wait_for_nobody() -> None:
    machine = Machine()
    assert machine.turns("CPU") is machine.turns("CPU")
    assert machine.turns("CPU") is not machine.turns("CUDA:0")
    assert machine.turns("CUDA:1") is not machine.turns("CUDA:0")
    assert machine.turns("TensorRT:0") is machine.turns("CUDA:0")


@pytest.mark.parametrize(
    ("served_on", "device"),
    [
        ("CPU", "cpu"),
        ("CUDA:0", "cuda:0"),
        ("cuda", "cuda:0"),
        ("CUDA:1", "cuda:1"),
        ("TensorRT:0", "cuda:0"),
        ("GPU", "gpu:0"),
        ("GPU.0", "gpu:0"),
        ("GPU.1", "gpu:1"),
        ("NPU", "npu:0"),
    ],
)
def test_a_device_is_named_by_what_it_is_and_not_by_who_uses_it(
    served_on: str, device: str
) -> None:
    assert physical_device(served_on) == device


@pytest.mark.parametrize(
    ("device", "instances", "cores", "models", "most"),
    [
        ("cpu", 1, 32, 0, 1),
        ("cpu", 2, 32, 5, 2),
        ("0", 1, 32, 0, 1),
        ("0", 1, 32, 5, 5),
        ("0", 1, 4, 5, 2),
        ("0", 1, 1, 5, 1),
        ("0", 3, 4, 5, 3),
    ],
)
def test_a_gpu_has_a_turn_for_each_model_as_far_as_there_are_cores(
    device: str, instances: int, cores: int, models: int, most: int
) -> None:
    assert turns_at_once(device, instances, cores, models) == most
