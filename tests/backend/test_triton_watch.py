"""What the watch makes of looks and probes, and what a model at Triton is to us."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sightline_backend.errors import NotPossibleError
from sightline_backend.triton import watch as watching
from sightline_backend.triton.changes import Changes
from sightline_backend.triton.kinds import Known, known_by_config
from sightline_backend.triton.reading import DeploymentReading, ModelReading, Reading
from sightline_backend.triton.watch import EVERY_S, Probed, Watch
from sightline_engines.triton.config import TritonConfig, read_config
from sightline_engines.triton.control import ModelState
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.statistics import ModelStatistics, Percentiles

CAM = Deployment(
    "cam", 1, "detector", "", None, "1", "onnx", "fp32", "onnxruntime", TritonConfig(), 8, 0.0
)
SERVES = DeploymentReading(
    CAM, active=True, wanted=True, serves=True, loaded=True, rollback_to=None
)
GOOD, BAD = (Probed(ok, "", 0.0) for ok in (True, False))


class Mending:
    """Counts what is to be mended; `found` is whether that was needed."""

    found = True

    def __init__(self) -> None:
        self.asked = 0

    async def mend(self, _model: str) -> bool:
        self.asked += 1
        return self.found


class Told:
    """Keeps what the metrics are told."""

    def __init__(self) -> None:
        self.reloads: list[str] = []
        self.probes = 0

    def watched(self, *_: object) -> None:
        pass

    def probed(self, _ok: bool) -> None:
        self.probes += 1

    def reloaded(self, result: str) -> None:
        self.reloads.append(result)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watching, "time", made)
    return made


def made() -> tuple[Watch, Mending, Told]:
    link: Any = SimpleNamespace(options=None, client=None, changes=SimpleNamespace(busy=False))
    mending, told = Mending(), Told()
    return Watch(link, mending, told), mending, told  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("looks", "mended"),
    [
        ([], 0),
        ([(True, GOOD)], 0),
        ([(False, GOOD)], 0),  # another process is in the middle of a deployment
        ([(False, GOOD), (True, GOOD), (False, GOOD)], 0),
        ([(False, GOOD), (False, GOOD)], 1),
        ([(True, BAD), (True, BAD)], 1),
        ([(True, BAD), (True, BAD)] * 2, 1),  # not yet again
    ],
)
async def test_only_what_fails_twice_is_mended(
    clock: Clock, looks: Sequence[tuple[bool, Probed]], mended: int
) -> None:
    watch, mending, _ = made()
    for serves, probed in looks:
        clock.now_s += 1.0
        watch.probes = dict.fromkeys(CAM.stable, probed)
        watch._judge(replace(SERVES, serves=serves))
        await asyncio.sleep(0)
    assert mending.asked == mended


async def test_a_good_answer_between_does_not_make_it_try_as_often_again(clock: Clock) -> None:
    watch, mending, _ = made()
    for number in range(150):  # ten minutes
        clock.now_s += EVERY_S
        watch.probes = dict.fromkeys(CAM.stable, GOOD if number % 3 == 2 else BAD)
        watch._judge(SERVES)
        await asyncio.sleep(0)
    assert 1 < mending.asked < 10


@pytest.mark.parametrize(("found", "told"), [(True, ["reloaded"]), (False, [])])
async def test_only_what_was_loaded_anew_is_counted(found: bool, told: list[str]) -> None:
    watch, mending, metrics = made()
    mending.found = found
    await watch._mend("cam")
    assert metrics.reloads == told


@pytest.mark.parametrize(
    ("counts", "cached", "probes"),
    [
        ([], False, 0),
        ([(0, 0), (1, 0), (2, 0)], False, 3),  # nobody else asks: these are the probes
        ([(0, 0), (9, 0), (30, 0)], False, 1),
        ([(0, 0), (9, 3)], False, 2),  # some fail
        ([(9, 0), (2, 0)], False, 2),  # counted anew
        ([(0, 0), (9, 0), (30, 0)], True, 3),  # a cache answers for the dead
    ],
)
async def test_a_model_that_answers_others_is_not_probed(
    counts: Sequence[tuple[int, int]], cached: bool, probes: int
) -> None:
    watch, _, told = made()

    async def answers(_name: str) -> Probed:
        told.probed(True)
        return GOOD

    watch._probe = answers  # type: ignore[method-assign, assignment]
    config = TritonConfig(response_cache=cached)
    deployment = replace(SERVES, deployment=replace(CAM, config=config))
    for succeeded, failures in counts:
        model = ModelReading(
            ModelState("cam", "1", "READY", ""),
            Known("pictures", "cam", 1),
            ModelStatistics(succeeded=succeeded, failures=failures),
            Percentiles(),
        )
        await watch._try(Reading(live=True, models=(model,), deployments=(deployment,)), ())
    assert told.probes == probes


async def test_a_model_that_hangs_keeps_no_look_waiting() -> None:
    watch, _, _ = made()
    hangs = asyncio.Event()

    async def hang(*_: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    async def read() -> Reading:
        return Reading(live=True)

    watch._try, watch._link.read = hang, read  # type: ignore[method-assign, assignment]
    await watch._once()
    await asyncio.wait_for(hangs.wait(), 5)
    await asyncio.wait_for(watch._once(), 5)
    await watch.__aexit__()


async def test_a_change_under_way_ends_before_the_connection_does() -> None:
    changes, begun, go = Changes(), threading.Event(), threading.Event()

    def change() -> str:
        begun.set()
        go.wait(5)
        return "done"

    first = asyncio.create_task(changes.run(change))
    await asyncio.to_thread(begun.wait, 5)
    second = asyncio.create_task(changes.run(change))
    await asyncio.sleep(0)
    closing = asyncio.create_task(changes.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    go.set()
    await closing
    assert await first == "done"
    with pytest.raises(NotPossibleError, match="stops"):
        await second


TEXT = """
backend: "onnxruntime"
parameters {key: "sightline_model" value {string_value: "net"}}
parameters {key: "sightline_number" value {string_value: "3"}}
parameters {key: "sightline_part" value {string_value: "%s"}}
"""


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("", "other", None),
        (TEXT % "export", "other", None),
        (TEXT % "pictures", "pictures", 3),
        (TEXT % "preprocess", "step", 3),
        (TEXT % "detector", "detector", 3),
        (TEXT % "classifier", "classifier", 3),
    ],
)
def test_a_config_tells_what_a_model_is(text: str, kind: str, number: int | None) -> None:
    found = known_by_config(read_config(text), Known("other"))
    assert (found.kind, found.number) == (kind, number)
