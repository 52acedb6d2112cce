"""Jobs beside those of other processes, whose guards are killed, whose database goes and comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from sightline_backend.errors import NotPossibleError, StoreError
from sightline_backend.jobs import devices, events, supervisor
from sightline_backend.jobs.devices import devices_of
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import (
    BenchmarkRequest,
    JobRequest,
    PipelineRequest,
    ValidateRequest,
)
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import JobRow
from tests.backend.test_jobs import asking, done, running_processes, supervising, until
from tests.conftest import ROOT

ELSEWHERE = "elsewhere:1:2.00"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return a store that holds the shipped model alone."""
    with closing(open_store(tmp_path_factory.mktemp("store"))) as opened:
        yield opened


@pytest.fixture(autouse=True)
def tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs' processes find the module of what they are to do."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


async def becomes(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  it is another process's doing
            await asyncio.sleep(0.02)


async def test_a_job_that_another_process_restarted_is_ended_and_leaves_it_alone(
    store: Store,
) -> None:
    async with supervising(store) as mine:
        job = await mine.submit("convert", asking("hang"))
        await until(job.id, mine, "hang")
        others = JobRecords(store.database)
        others.cancel(job.id)
        others.requeue(job.id, ELSEWHERE)  # before we have looked
        await becomes(lambda: not running_processes())
        await becomes(lambda: mine.open_jobs == (0, 0))
        now = others.job(job.id)
        assert (now.state, now.owner, now.doing) == ("queued", ELSEWHERE, "")


async def test_a_job_of_a_process_that_dies_later_is_interrupted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(supervisor, "LOST_EVERY_S", 0.1)
    async with supervising(store) as mine:
        job = mine.records.add("convert", asking("hang"), ELSEWHERE)
        async with asyncio.timeout(20):
            told = [one.state async for one in mine.subscribe(job.id)]
        assert told[-1] == "interrupted"


async def test_an_end_that_can_not_be_stored_is_stored_when_the_database_is_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "END_AGAIN_S", 0.1)
    async with supervising(store) as mine:
        ending, tried = mine.records.end, 0

        def unsure(*given: Any) -> Job | None:
            nonlocal tried
            tried += 1
            if tried <= 8:
                raise StoreError("The database is away.")
            return ending(*given)

        monkeypatch.setattr(mine.records, "end", unsure)
        job = await mine.submit("convert", asking("work"))
        async with asyncio.timeout(30):
            job = await mine.finished(job.id, lambda _: None)
        assert (job.state, tried) == ("done", 9)
        assert "begun by" in mine.records.log(job.id)


async def test_nothing_is_left_of_a_job_whose_guard_is_killed(store: Store) -> None:
    async with supervising(store) as mine:
        (store.folder / "seen").unlink(missing_ok=True)
        job = await mine.submit("convert", asking("stubborn"))
        await until(job.id, mine, "deaf")
        assert len(running_processes()) >= 4
        (guard,) = [p for p in running_processes() if p.ppid() == psutil.Process().pid]
        guard.kill()
        job = await mine.finished(job.id, lambda _: None)
        assert job.state == "failed"
        assert not running_processes()


async def test_a_job_of_another_release_is_not_put_in_line_again(store: Store) -> None:
    records = JobRecords(store.database)
    job = records.add("convert", asking("work"), ELSEWHERE)
    records.cancel(job.id)
    with store.database.session() as session:
        session.get_one(JobRow, job.id).request = {"modell": "cars"}
    async with supervising(store) as mine:
        with pytest.raises(NotPossibleError, match="another release"):
            await mine.restart(job.id)
    assert records.job(job.id).state == "cancelled", "it would hold up all behind it"


async def test_what_no_database_keeps_of_a_jobs_words_is_left_out(store: Store) -> None:
    job, told, _ = await done(store, "strange words")
    assert "odd words" in {one.doing for one in told}
    assert job.result == {"name": "caf?"}


async def test_a_workspace_made_while_others_are_swept_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = JobRecords(store.database)
    active = records.active
    later = store.jobs_folder / "9999"

    def then_one_begins() -> Sequence[Job]:
        found = active()
        later.mkdir(parents=True)
        return found

    async with supervising(store) as mine:
        monkeypatch.setattr(mine.records, "active", then_one_begins)
        await mine.ask(mine._sweep)
        monkeypatch.undo()
    assert later.is_dir()
    later.rmdir()


async def test_jobs_of_two_processes_take_turns_as_they_came(store: Store) -> None:
    async with supervising(store) as mine, supervising(store) as theirs:
        first = await mine.submit("convert", asking("slow"))
        await until(first.id, mine, "slow")
        second = await theirs.submit("convert", asking("work"))
        third = await mine.submit("convert", asking("work"))
        await theirs.finished(second.id, lambda _: None)
        await mine.finished(third.id, lambda _: None)
        begun = [mine.records.job(job.id).started_at for job in (first, second, third)]
        assert begun == sorted(begun, key=str)


async def test_many_who_watch_cost_one_look_at_the_database(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.2)
    async with supervising(store) as mine:
        job = mine.records.add("convert", asking("work"), ELSEWHERE)
        looking, looks = mine.records.active, 0

        def counted() -> Sequence[Job]:
            nonlocal looks
            looks += 1
            return looking()

        monkeypatch.setattr(mine.records, "active", counted)
        watchers = [asyncio.create_task(anext_but_one(mine, job.id)) for _ in range(20)]
        await asyncio.sleep(1.1)
        assert looks <= 6
        mine.records.note(job.id, ELSEWHERE, {"doing": "more", "result": {"large": 1}})
        seen = await asyncio.gather(*watchers)
        assert {(one.doing, one.result is None) for one in seen} == {("more", True)}
        mine.records.cancel(job.id)


async def anext_but_one(mine: supervisor.Supervisor, job_id: int) -> Job:
    """Return the second state that a watcher of a job is told."""
    states = mine.subscribe(job_id)
    await anext(states)
    second = await anext(states)
    await states.aclose()
    return second


async def test_who_watches_a_job_that_is_deleted_is_sent_home(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.05)
    async with supervising(store) as mine:
        job = mine.records.add("convert", asking("work"), ELSEWHERE)
        states = mine.subscribe(job.id)
        await anext(states)
        with suppress(StopAsyncIteration):
            mine.records.cancel(job.id)
            mine.records.remove(job.id)
            async with asyncio.timeout(20):
                while True:
                    await anext(states)


def benchmark(engines: list[str], device: str | None = None) -> JobRequest:
    return BenchmarkRequest.model_validate(
        {"model": "cars", "engines": engines, "precisions": ["fp32"], "device": device}
    )


@pytest.mark.parametrize(
    ("request_", "on_a_gpu_host", "without"),
    [
        (asking("work"), "cpu", "cpu"),
        (asking("work").model_copy(update={"format": "tensorrt"}), "cuda:0", "cuda:0"),
        (benchmark(["onnxruntime"]), "cuda:0", "cpu"),
        (benchmark(["onnxruntime"], "cpu"), "cpu", "cpu"),
        (benchmark(["onnxruntime"], "cuda"), "cuda:0", "cuda:0"),
        (benchmark(["tensorrt"], "tensorrt:1"), "cuda:1", "cuda:1"),
        (benchmark(["openvino"], "cuda"), "cpu", "cpu"),  # refused for each cell
        (benchmark(["openvino", "onnxruntime"]), "cpu cuda:0", "cpu"),
        (
            PipelineRequest(model="x", engines=["onnxruntime"], precisions=["fp32"]),
            *("cuda:0", "cpu"),
        ),
        (ValidateRequest(artefact_id=1, dataset="x"), "cpu cuda:0", "cpu"),
        (ValidateRequest(artefact_id=1, dataset="x", engine="onnxruntime"), "cuda:0", "cpu"),
    ],
)
def test_a_job_keeps_the_devices_that_its_engines_run_on(
    request_: JobRequest, on_a_gpu_host: str, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "missing_provider", lambda _: None)
    monkeypatch.setattr(devices, "nvidia_gpus", lambda: ("Some GPU",))
    assert devices_of(request_) == on_a_gpu_host
    monkeypatch.setattr(devices, "nvidia_gpus", lambda: ())
    assert devices_of(request_) == without


def test_a_device_is_of_one_job_at_a_time_whatever_else_they_need(tmp_path: Path) -> None:
    from sightline_backend.jobs.turns import Turns

    order: list[str] = []

    async def run() -> None:
        turns, elsewhere = Turns(tmp_path), Turns(tmp_path)
        busy: set[str] = set()

        async def job(number: int, turns: Turns, *mine: str) -> None:
            async with turns.on(number, mine, _always):
                assert not busy & set(mine)
                busy.update(mine)
                order.append(f"{number}")
                await asyncio.sleep(0.05)
                busy.difference_update(mine)

        async with asyncio.timeout(20):
            await asyncio.gather(
                job(1, turns, "cpu"),
                job(2, turns, "cpu", "cuda:0"),
                job(3, turns, "cuda:0"),
                job(4, elsewhere, "cuda:0"),
                job(5, elsewhere, "cpu", "cuda:0"),
            )

    asyncio.run(run())
    assert sorted(order) == ["1", "2", "3", "4", "5"]
    assert order.index("2") < order.index("3")


async def _always() -> bool:
    return True
