"""The worker process, with a real engine: it answers, it dies, it hangs, it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from sightline_backend.batch import Done, Failed, Work
from sightline_backend.errors import ReportedError
from sightline_backend.workers.messages import EngineOptions
from sightline_backend.workers.process import LOAD_S, ProcessRunner
from sightline_backend.workers.runner import LONGEST_LOAD_S, RunnerLost
from sightline_engines.assets import shipped_model
from sightline_engines.detector import Detector
from sightline_engines.errors import EngineError
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import default_options
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.backend.running import until
from tests.fakes import SPEC, encoded, noise

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


def endless(path: Path) -> Path:
    """Write a model that is a detector by its looks and never comes to an answer."""
    true, kept = TensorProto.BOOL, helper.make_tensor_value_info("kept", TensorProto.FLOAT, [1])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["was"], ["kept"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", true, []),
            helper.make_tensor_value_info("was", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("on", true, []), kept],
    )
    raw = numpy_helper.from_array(np.zeros((1, 4, 6), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("y", true, [], [True])),
        helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        helper.make_node("Constant", [], ["raw"], value=raw),
        helper.make_node("Reshape", ["most", "one"], ["first"]),
        helper.make_node("Loop", ["", "yes", "first"], ["last"], body=body),
        helper.make_node("Add", ["raw", "last"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4, 6])],
        [numpy_helper.from_array(np.array([1], np.int64), "one")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return path


@pytest.mark.parametrize(
    ("device", "load_s"),
    [(None, LOAD_S), ("cuda:0", LOAD_S), ("tensorrt", LONGEST_LOAD_S), (" TensorRT:1", 1800.0)],
)
def test_what_is_built_as_it_loads_may_take_longer(device: str | None, load_s: float) -> None:
    options = EngineOptions(engine="onnxruntime", device=device)
    assert ProcessRunner(SPEC, options, LIMITS, 1)._load_s == load_s


async def test_a_model_that_never_comes_to_an_end_is_given_up(tmp_path: Path) -> None:
    spec = recognise(endless(tmp_path / "endless.onnx"))
    options = EngineOptions(engine="onnxruntime")
    runner = ProcessRunner(spec, options, LIMITS, 1, load_s=2.0)
    loading = asyncio.create_task(runner.start(measure_up_to=None))
    await until(lambda: runner.pid is not None)
    process = psutil.Process(pid_of(runner))
    with pytest.raises(EngineError, match="wasn't ready within 2 s"):
        await loading
    assert runner.pid is None
    assert not process.is_running()


def busy(worker: psutil.Process) -> None:
    """Wait until a worker has had more time than loading takes, so that it is amid its run."""
    end_s = time.monotonic() + 60
    while sum(worker.cpu_times()[:2]) < 4:
        assert time.monotonic() < end_s
        time.sleep(0.1)


async def test_a_worker_at_work_does_not_outlive_its_server(tmp_path: Path) -> None:
    endless(tmp_path / "endless.onnx")
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from sightline_backend.workers.messages import EngineOptions\n"
        "from sightline_backend.workers.process import ProcessRunner\n"
        "from sightline_engines.picture import PictureLimits\n"
        "from sightline_engines.recognise import recognise\n"
        "spec = recognise(Path(sys.argv[1]))\n"
        "runner = ProcessRunner(spec, EngineOptions('onnxruntime'), PictureLimits(), 1)\n"
        "asyncio.run(runner.start(None))\n"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "endless.onnx")
    )
    process = psutil.Process(server.pid)
    await until(lambda: bool(process.children()))
    workers = process.children()
    await asyncio.to_thread(busy, workers[0])
    server.kill()
    await server.wait()
    await asyncio.to_thread(psutil.wait_procs, workers, 10)
    assert not any(worker.is_running() for worker in workers)


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
