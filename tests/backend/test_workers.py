"""The worker process, with a real engine: it answers, it dies, it hangs, it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sightline_backend.batch import Done, Failed, Work
from sightline_backend.errors import ReportedError
from sightline_backend.workers.messages import EngineOptions
from sightline_backend.workers.process import ProcessRunner
from sightline_backend.workers.runner import RunnerLost
from sightline_engines.assets import shipped_model
from sightline_engines.detector import Detector
from sightline_engines.errors import EngineError
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import default_options
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.backend.running import until
from tests.fakes import encoded, noise

LIMITS = PictureLimits()
PICTURE = encoded(noise(320, 240))


def shipped() -> ModelSpec:
    return recognise(shipped_model())


def work(picture: bytes | memoryview = PICTURE) -> Work:
    now_s = time.monotonic()
    return Work(picture, default_options(shipped()), now_s, now_s + 5.0)


@asynccontextmanager
async def worker(**options: object) -> AsyncIterator[ProcessRunner]:
    runner = ProcessRunner(shipped(), EngineOptions(**options), LIMITS, 8)  # type: ignore[arg-type]
    try:
        yield runner
    finally:
        await runner.close()


def pid_of(runner: ProcessRunner) -> int:
    assert runner.pid is not None
    return runner.pid


async def test_a_worker_measures_its_engine_and_finds_what_the_detector_finds() -> None:
    async with worker(threads=1) as runner:
        measured = await runner.start(measure_up_to=2)
        run = await runner.run([work(memoryview(PICTURE)), work(b"garbage")], 1.0)
    assert min(measured.batch_s) == 1
    assert measured.per_frame_s > 0
    assert runner.served.name == "sightline-webcam"
    good, bad = run.outcomes
    assert isinstance(good, Done)
    assert isinstance(bad, Failed)
    with Detector.load() as detector:
        expected = detector(decode_picture(PICTURE, LIMITS))
    assert good.detections.to_dicts(()) == expected.to_dicts(())
    assert good.size_wh == (320, 240)


async def test_a_worker_killed_in_mid_batch_is_told_and_can_be_started_again() -> None:
    async with worker() as runner:
        await runner.start(measure_up_to=None)
        os.kill(pid_of(runner), signal.SIGSTOP)  # so that the batch is surely in its hands
        running = asyncio.create_task(runner.run([work()], 60.0))
        await asyncio.sleep(0.05)
        os.kill(pid_of(runner), signal.SIGKILL)
        with pytest.raises(RunnerLost, match="signal 9") as lost:
            await running
        assert lost.value.reason == "crashed"
        await runner.start(measure_up_to=None)
        assert isinstance((await runner.run([work()], 1.0)).outcomes[0], Done)


async def test_a_worker_that_hangs_is_killed() -> None:
    async with worker() as runner:
        await runner.start(measure_up_to=None)
        pid = pid_of(runner)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(RunnerLost) as lost:
            await runner.run([work()], expected_s=0.001)
        assert lost.value.reason == "hung"
        assert not psutil.pid_exists(pid)


async def test_a_model_that_cannot_run_is_told_in_its_own_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    runner = ProcessRunner(replace(shipped(), path=broken), EngineOptions(), LIMITS, 8)
    with pytest.raises(ReportedError) as told:
        await runner.start(measure_up_to=None)
    assert told.value.code == "bad_model"
    assert "broken.onnx" in told.value.message
    assert runner.pid is None


async def test_a_worker_that_dies_while_it_loads_is_an_error_and_no_hang() -> None:
    async with worker() as runner:
        loading = asyncio.create_task(runner.start(measure_up_to=8))
        await until(lambda: runner.pid is not None)
        os.kill(pid_of(runner), signal.SIGKILL)
        with pytest.raises(EngineError, match="signal 9"):
            await loading


async def test_a_worker_leaves_when_its_server_does() -> None:
    async with worker() as runner:
        await runner.start(measure_up_to=None)
        process = psutil.Process(pid_of(runner))
        runner._link.close()  # as the system does with a server that is killed
        await asyncio.to_thread(process.wait, 10)


async def test_ctrl_c_and_sigterm_are_the_servers_business() -> None:
    async with worker() as runner:
        await runner.start(measure_up_to=None)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid_of(runner), number)
        assert isinstance((await runner.run([work()], 1.0)).outcomes[0], Done)
