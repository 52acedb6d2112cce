"""Jobs in the books, on each database: who may write what, and what is read of many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from sightline_backend.errors import NotPossibleError, UnknownError
from sightline_backend.jobs import records as job_records
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import BenchmarkRequest, ConvertRequest, PipelineRequest
from sightline_backend.store.store import Store

CONVERT = ConvertRequest(model="cars", format="onnx")


@pytest.fixture
def records(store: Store) -> JobRecords:
    store.models.models()  # makes the database
    return JobRecords(store.database)


def test_only_its_owner_writes_of_a_job(records: JobRecords) -> None:
    job = records.add("convert", CONVERT, "first")
    assert records.begin(job.id, "second") is None
    assert records.begin(job.id, "first") is not None
    records.cancel(job.id)
    records.requeue(job.id, "second")
    assert records.note(job.id, "first", {"progress": 0.9}, ["late"]) is None
    assert records.end(job.id, "first", "done", {"result": {"late": True}}) is None
    now = records.job(job.id)
    assert (now.state, now.progress, now.result) == ("queued", 0.0, None)
    assert records.log(job.id) == "Restarted.\n"
    assert records.end(job.id, "second", "done", {}) is not None


def test_one_of_two_that_restart_a_job_at_once_gets_it(records: JobRecords) -> None:
    barrier = Barrier(2)

    def restart(job: Job, owner: str) -> str | None:
        barrier.wait()
        try:
            return records.requeue(job.id, owner).owner
        except NotPossibleError:
            return None

    with ThreadPoolExecutor(2) as threads:
        for _ in range(10):
            job = records.add("convert", CONVERT, "first")
            records.cancel(job.id)
            won = list(threads.map(lambda owner, job=job: restart(job, owner), ("one", "two")))
            assert won.count(None) == 1
            assert records.job(job.id).owner in won


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**30])
def test_a_number_that_no_job_can_have_is_unknown(records: JobRecords, number: int) -> None:
    for asking in (records.job, records.log, records.cancel, records.remove):
        with pytest.raises(UnknownError, match="no job"):
            asking(number)
    with pytest.raises(UnknownError, match="no job"):
        records.requeue(number, "me")


def test_results_come_with_one_job_and_not_with_lists(records: JobRecords) -> None:
    tree = records.add(
        "pipeline", PipelineRequest(model="cars", engines=["openvino"], precisions=["fp32"]), "me"
    )
    child = records.add("convert", CONVERT, "me", tree.id)
    noted = records.note(child.id, "me", {"result": {"large": 1}})
    assert noted is not None
    assert noted.result is None
    (listed,) = records.jobs()
    assert [one.result for one in (listed, *listed.children)] == [None, None]
    assert {one.result is None for one in records.active()} == {True}
    assert records.job(child.id).result == {"large": 1}
    assert records.job(tree.id).children[0].result == {"large": 1}


def test_what_was_measured_of_a_model_is_found_behind_many_others(records: JobRecords) -> None:
    def measured(model: str, cells: list[int]) -> int:
        asked = BenchmarkRequest(model=model, engines=["openvino"], precisions=["fp32"])
        job = records.add("benchmark", asked, "me")
        records.end(job.id, "me", "done", {"result": {"cells": cells}})
        return job.id

    assert records.measured(None, 5) == []
    mine = measured("cars", [1])
    others = [measured("dogs", [2]) for _ in range(6)]
    measured("cars", [])
    records.add("convert", CONVERT, "me")
    assert [job.id for job in records.measured("cars", 5)] == [mine]
    assert [job.id for job in records.measured(None, 3)] == others[:-4:-1]
    assert records.measured("cars", 5)[0].result == {"cells": [1]}


def test_the_line_is_bounded_for_all_but_the_steps_of_what_runs(
    records: JobRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_records, "MOST_IN_LINE", 2)
    first = records.add("convert", CONVERT, "me")
    records.add("convert", CONVERT, "me")
    with pytest.raises(NotPossibleError, match="2 jobs wait already"):
        records.add("convert", CONVERT, "me")
    records.add("convert", CONVERT, "me", first.id)
    records.begin(first.id, "me")
    records.add("convert", CONVERT, "me")


def test_a_job_is_next_when_no_older_one_waits_for_its_device(records: JobRecords) -> None:
    first = records.add("convert", CONVERT, "me")
    plan = records.add("convert", CONVERT.model_copy(update={"format": "tensorrt"}), "me")
    second = records.add("convert", CONVERT, "others")
    assert [records.is_next(job.id) for job in (first, plan, second)] == [True, True, False]
    records.begin(first.id, "me")
    assert records.is_next(second.id)
