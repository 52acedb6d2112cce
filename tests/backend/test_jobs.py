"""Jobs in real child processes: how they end, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from sightline_backend.errors import NotPossibleError, UnknownError, UnknownModelError
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import MOST_LINES, JobRecords
from sightline_backend.jobs.requests import ConvertRequest, Kind, PipelineRequest
from sightline_backend.jobs.supervisor import JobSettings, Supervisor
from sightline_backend.jobs.work.context import WorkSettings
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import JobRow
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store that holds the shipped model alone."""
    return open_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs' processes find the module of what they are to do."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@asynccontextmanager
async def supervising(
    store: Store, limit_s: float = 60, give_way: bool = False
) -> AsyncIterator[Supervisor]:
    """Run jobs that do what their request's label says."""
    work = WorkSettings(job_timeout_s=limit_s)
    mine = "tests.backend.job_work"
    modules: dict[Kind, str] = {"convert": mine, "benchmark": mine}
    settings = JobSettings(modules=modules, work=work, give_way=give_way)
    async with Supervisor(store, JobRecords(store.database), settings) as supervisor:
        yield supervisor


def asking(what: str) -> ConvertRequest:
    """Return a request for a kind of behaviour."""
    return ConvertRequest(model="sightline-webcam", format="onnx", labels=[what])


async def done(store: Store, what: str, limit_s: float = 60) -> tuple[Job, list[Job], str]:
    """Run a job to its end; return it, its events, and its log."""
    events: list[Job] = []
    async with supervising(store, limit_s) as supervisor:
        job = await supervisor.submit("convert", asking(what))
        job = await supervisor.finished(job.id, events.append)
        log = await supervisor.ask(lambda: supervisor.records.log(job.id))
    assert not list(store.jobs_folder.glob("[0-9]*")), "a workspace is left"
    assert not running_processes()
    return job, events, log


def running_processes() -> list[psutil.Process]:
    """Return the job processes of this test process, and what they started."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "sightline_backend.jobs.child" in command or "sightline-test" in command:
            found.append(process)
    mine = {child.pid for child in psutil.Process().children(recursive=True)}
    return [p for p in found if p.pid in mine or "sightline-test" in (p.info["cmdline"] or [])]


async def until(job_id: int, supervisor: Supervisor, doing: str) -> None:
    """Wait until a job says that it does something."""
    async for job in supervisor.subscribe(job_id):
        if job.doing == doing:
            return


async def test_a_job_tells_its_progress_and_ends_with_its_result(store: Store) -> None:
    job, events, log = await done(store, "slow")
    assert job.state == "done"
    assert job.result == {"artefact_id": 7, "did": "slow", "nice": 0}
    assert (job.progress, job.doing, job.error) == (1.0, "", None)
    assert [e.state for e in events][-1] == "done"
    assert any(e.doing == "slow" and e.progress == 0.5 for e in events)
    assert log.startswith("begun by ")


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("refuse", "not_possible", "It can't be done [because]: try another."),
        ("bug", "internal", "its log says more"),
        ("no memory", "out_of_memory", "smaller batch"),
        ("leave", "internal", "status 7"),
        ("crash", "internal", "SIGSEGV"),
        ("killed", "internal", "killed"),
        ("not JSON", "internal", "its log says more"),
        ("garbage", "internal", "which is no message"),
    ],
)
async def test_every_failure_has_a_code_and_a_sentence(
    store: Store, what: str, code: str, said: str
) -> None:
    job, _, log = await done(store, what)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == code
    assert said in job.error["message"]
    assert "Traceback" not in job.error["message"]
    if what == "bug":
        assert "ZeroDivisionError: in the depths" in log
    if what == "garbage":
        assert job.result == {"kept": 1}


async def test_a_job_that_hangs_is_ended_at_its_limit(store: Store) -> None:
    job, _, _ = await done(store, "hang", limit_s=0.7)
    assert job.error is not None
    assert job.error["code"] == "timeout"


async def test_a_job_gives_way_to_what_serves(store: Store) -> None:
    """Seen from outside: the job itself may wait for its first processor time for long."""
    async with supervising(store, give_way=True) as supervisor:
        await supervisor.submit("convert", asking("hang"))
        async with asyncio.timeout(30):
            while 19 not in (found := [p.nice() for p in running_processes()]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert sorted(found) == [os.nice(0), 19], "the guard, which ends it, gives way to nobody"


async def test_what_a_job_leaves_running_is_killed_with_it(store: Store) -> None:
    job, _, _ = await done(store, "leaves grandchildren")
    assert job.state == "done"


async def test_a_flood_of_lines_is_bounded_and_its_last_line_kept(store: Store) -> None:
    job, _, log = await done(store, "flood")
    lines = log.splitlines()
    assert job.state == "done"
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 2000
    assert lines[-1] == "the last line"


async def test_progress_that_comes_too_fast_is_thinned_out_but_never_its_last(
    store: Store,
) -> None:
    _, events, _ = await done(store, "many reports")
    assert len(events) < 100
    assert "the last step" in [event.doing for event in events]


async def test_a_job_knows_no_password_that_it_was_not_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_ADMIN_TOKEN", "hush-hush")
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", "postgresql://u:hush-hush@nowhere/x")
    job, _, _ = await done(store, "environment")
    assert job.state == "done"
    assert "hush-hush" not in str(job.result)


async def test_a_deaf_job_is_cancelled_with_all_that_it_started(store: Store) -> None:
    async with supervising(store) as supervisor:
        job = await supervisor.submit("convert", asking("stubborn"))
        await until(job.id, supervisor, "deaf")
        assert running_processes()
        job = await supervisor.cancel(job.id)
        assert job.state == "cancelled"
        assert not running_processes()
        assert not (store.jobs_folder / str(job.id)).exists()
        with pytest.raises(NotPossibleError, match="ended already"):
            await supervisor.cancel(job.id)


async def test_jobs_run_one_after_the_other_and_one_in_line_can_be_cancelled(
    store: Store,
) -> None:
    async with supervising(store) as supervisor:
        first = await supervisor.submit("convert", asking("hang"))
        second = await supervisor.submit("convert", asking("work"))
        third = await supervisor.submit("convert", asking("work"))
        await until(first.id, supervisor, "hang")
        assert supervisor.records.job(second.id).state == "queued"
        assert (await supervisor.cancel(second.id)).state == "cancelled"
        await supervisor.cancel(first.id)
        assert (await supervisor.finished(third.id, lambda _: None)).state == "done"


async def test_another_process_can_cancel_a_job_through_the_database(store: Store) -> None:
    async with supervising(store) as supervisor:
        job = await supervisor.submit("convert", asking("hang"))
        await until(job.id, supervisor, "hang")
        JobRecords(store.database).cancel(job.id)
        async with asyncio.timeout(20):
            while running_processes():  # noqa: ASYNC110  it is another process's doing
                await asyncio.sleep(0.1)
        assert supervisor.records.job(job.id).state == "cancelled"


async def test_a_stop_interrupts_and_a_restart_runs_it_again(store: Store) -> None:
    async with supervising(store) as supervisor:
        job = await supervisor.submit("convert", asking("hang"))
        await until(job.id, supervisor, "hang")
    assert not running_processes()
    job = JobRecords(store.database).job(job.id)
    assert job.state == "interrupted"
    async with supervising(store) as supervisor:
        await supervisor.restart(job.id)
        await until(job.id, supervisor, "hang")
        with pytest.raises(NotPossibleError, match="running"):
            await supervisor.restart(job.id)


async def test_what_can_not_work_is_refused_before_there_is_a_job(store: Store) -> None:
    async with supervising(store) as supervisor:
        before = len(supervisor.records.jobs(limit=500))
        with pytest.raises((UnknownModelError, UnknownError)):
            await supervisor.submit("convert", ConvertRequest(model="no-such", format="onnx"))
        wrong: dict[str, Any] = {"model": "sightline-webcam", "format": "onnx"}
        with pytest.raises(UnknownError, match="no version 9"):
            await supervisor.submit("convert", ConvertRequest(**wrong, version=9))
        assert len(supervisor.records.jobs(limit=500)) == before


async def test_a_watcher_that_leaves_is_forgotten(store: Store) -> None:
    async with supervising(store) as supervisor:
        job = await supervisor.submit("convert", asking("hang"))
        events = supervisor.subscribe(job.id)
        await anext(events)
        assert len(supervisor._hub) == 1
        await events.aclose()
        assert len(supervisor._hub) == 0


def test_owners_that_are_gone_are_found_and_their_folders_swept(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    records = JobRecords(store.database)
    lost = records.add("convert", asking("work"), "elsewhere:1:2.00")
    (store.jobs_folder / str(lost.id)).mkdir(parents=True)

    async def start() -> None:
        async with supervising(store):
            pass

    asyncio.run(start())
    job = records.job(lost.id)
    assert job.state == "interrupted"
    assert not (store.jobs_folder / str(lost.id)).exists()
    records.remove(lost.id)
    with pytest.raises(UnknownError, match=f"no job {lost.id}"):
        records.job(lost.id)


async def test_a_job_that_is_stopped_before_it_began_does_not_wait_for_ever(store: Store) -> None:
    async with supervising(store) as supervisor:
        job = await supervisor.submit("convert", asking("hang"))
    assert JobRecords(store.database).job(job.id).state == "interrupted"


async def test_a_job_that_nobody_waited_to_be_put_in_line_is_cancelled(store: Store) -> None:
    async with supervising(store) as supervisor:
        before = {job.id for job in supervisor.records.jobs(limit=500)}
        putting = asyncio.create_task(supervisor.submit("convert", asking("hang")))
        adding = supervisor.records.add
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(*given: Any) -> Job:
            loop.call_soon_threadsafe(begun.set)
            time.sleep(0.2)
            return adding(*given)

        supervisor.records.add = slowly  # type: ignore[method-assign,assignment]
        await begun.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        (job,) = [j for j in supervisor.records.jobs(limit=500) if j.id not in before]
        assert job.state == "cancelled"
        assert supervisor.open_jobs == (0, 0)


async def test_a_tree_is_stopped_restarted_and_cancelled_with_its_children(store: Store) -> None:
    engines: Any = ["onnxruntime"]
    request = PipelineRequest(model="sightline-webcam", engines=engines, precisions=["fp32"])
    async with supervising(store) as supervisor:
        tree = await supervisor.submit("pipeline", request)
        await until_child(supervisor, tree.id)
        assert supervisor.open_jobs == (0, 1)
    tree = JobRecords(store.database).job(tree.id)
    assert [tree.state, *(child.state for child in tree.children)] == ["interrupted"] * 2
    assert not running_processes()
    async with supervising(store) as supervisor:
        await supervisor.restart(tree.id)
        await until_child(supervisor, tree.id)
        with pytest.raises(NotPossibleError, match="cancel it first"):
            supervisor.records.remove(tree.id)
        assert (await supervisor.cancel(tree.id)).state == "cancelled"
        assert not running_processes()
        again = supervisor.records.job(tree.id)
    assert [child.id for child in again.children] == [child.id for child in tree.children]
    assert [child.state for child in again.children] == ["cancelled"]


async def until_child(supervisor: Supervisor, tree_id: int) -> None:
    """Wait until a tree's child is at work."""
    async for job in supervisor.subscribe(tree_id):
        if (job.parent_id, job.state, job.doing) == (tree_id, "running", "hang"):
            return


def test_a_thousand_old_jobs_hold_no_start_up(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.database.session() as session:
        session.add_all(
            JobRow(kind="convert", title="", request={}, device="cpu", state="done", owner="x:1:1")
            for _ in range(1000)
        )
    records = JobRecords(store.database)
    asked: list[Job] = []

    async def start() -> None:
        async with supervising(store) as supervisor:
            asked.extend(supervisor.records.active())

    asyncio.run(start())
    assert asked == []
    assert len(records.jobs(limit=500)) == 500
    store.close()
