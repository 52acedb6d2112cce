"""One thread for what may hang: its answers, its errors, and its end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sightline_backend import reader
from sightline_backend.reader import MOST_WAITING, Reader
from tests.backend.running import until


def readers() -> set[threading.Thread]:
    """Return the threads of this kind that run; other tests' may still be ending."""
    return {thread for thread in threading.enumerate() if thread.name == "reader"}


async def test_answers_and_errors_come_back_to_who_asked() -> None:
    one = Reader()
    assert await one.run(lambda: 2 + 3) == 5
    with pytest.raises(ZeroDivisionError):
        await one.run(lambda: 1 // 0)
    assert await one.run(threading.current_thread) is not threading.current_thread()
    one.close()


async def test_a_reading_that_hangs_holds_up_its_successors_for_a_while_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "LIMIT_S", 0.05)
    one, free = Reader(), threading.Event()
    asked = [asyncio.create_task(one.run(free.wait)) for _ in range(3 * MOST_WAITING)]
    for task in asked:
        with pytest.raises(TimeoutError):
            await task
    free.set()
    await until(one._jobs.empty)
    monkeypatch.setattr(reader, "LIMIT_S", 5.0)
    assert await one.run(lambda: "again") == "again"
    one.close()


async def test_a_closed_reader_leaves_no_thread() -> None:
    before = readers()
    one = Reader()
    assert readers() <= before  # making one starts nothing
    await one.run(lambda: None)
    its = readers() - before
    assert len(its) == 1
    one.close()
    await until(lambda: not its & readers())
