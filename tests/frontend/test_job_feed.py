"""The feed of jobs: trees, bounds, and a line that breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_frontend.backend import Backend
from sightline_frontend.job import Job, flat, trees
from sightline_frontend.job_feed import MOST_JOBS, JobFeed
from tests.frontend.fake_api import FakeApi, serving


def job(number: int, parent_id: int | None = None, **more: object) -> Job:
    data = {"id": number, "parent_id": parent_id, "kind": "convert", "state": "running"}
    return Job.from_dict({**data, **more})


def wait_for(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with serving(FakeApi()) as fake:
        yield fake


@pytest.fixture
def feed(fake: FakeApi) -> Iterator[JobFeed]:
    backend = Backend(fake.url, 5)
    feed = JobFeed(backend, again_s=0.05).start()
    wait_for(lambda: feed.open)
    yield feed
    feed.close(wait_s=0)
    fake.cut()
    feed.close()
    backend.close()


@pytest.mark.parametrize(
    ("jobs", "tree"),
    [
        ([], []),
        ([job(1)], [(1, [])]),
        ([job(1), job(2)], [(2, []), (1, [])]),
        ([job(3, 1), job(1), job(2, 1)], [(1, [2, 3])]),
        ([job(2, 1)], [(2, [])]),  # its parent is forgotten
    ],
)
def test_jobs_stand_under_their_parents_newest_first(
    jobs: list[Job], tree: list[tuple[int, list[int]]]
) -> None:
    found = [(one.id, [child.id for child in one.children]) for one in trees(jobs)]
    assert found == tree


@given(st.lists(st.integers(1, 30), unique=True), st.data())
def test_no_job_is_lost_or_doubled_in_a_tree(numbers: list[int], data: st.DataObject) -> None:
    older = st.sampled_from([None, *numbers])
    jobs = [
        job(number, parent if parent is not None and parent < number else None)
        for number in numbers
        for parent in [data.draw(older)]
    ]
    found = [one.id for root in trees(jobs) for one in flat(root)]
    assert sorted(found) == sorted(numbers)


def test_progress_out_of_bounds_is_drawn_within() -> None:
    assert [job(1, progress=value).progress for value in (-1, 0.5, 7)] == [0, 0.5, 1]


def test_a_job_is_followed_to_its_end(fake: FakeApi, feed: JobFeed) -> None:
    assert feed.jobs() == ()
    fake.job(1, progress=0.1)
    wait_for(lambda: [one.progress for one in feed.jobs()] == [0.1])
    fake.job(1, progress=1.0, state="done")
    wait_for(lambda: [one.ended for one in feed.jobs()] == [True])


def test_a_line_that_breaks_is_opened_again(fake: FakeApi, feed: JobFeed) -> None:
    fake.job(1)
    wait_for(lambda: len(feed.jobs()) == 1)
    fake.jobs.clear()  # the server came back without it
    fake.cut()
    wait_for(lambda: fake.lines == 2 and feed.jobs() == ())
    fake.job(2)
    wait_for(lambda: [one.id for one in feed.jobs()] == [2])


def test_the_oldest_jobs_are_forgotten(fake: FakeApi) -> None:
    feed = JobFeed(Backend(fake.url, 5))
    for number in range(MOST_JOBS + 5):
        feed.take(job(number))
    assert len(feed.jobs()) == MOST_JOBS
    assert feed.jobs()[-1].id == 5


def test_a_removed_job_goes_with_all_below_it(fake: FakeApi) -> None:
    feed = JobFeed(Backend(fake.url, 5))
    for one in (job(1), job(2, 1), job(3, 2), job(4)):
        feed.take(one)
    feed.forget(1)
    assert [one.id for one in feed.jobs()] == [4]
