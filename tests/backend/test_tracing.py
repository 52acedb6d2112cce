"""Traces of real frames over real sockets, received by a real OTLP/HTTP server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from sightline_backend.tracing import export as export_module
from sightline_backend.tracing.hops import Hop, Trace
from sightline_backend.tracing.tracer import Tracer
from sightline_engines import wire
from sightline_engines.errors import EngineError
from tests.backend.otlp_receiver import Collector, Span, collecting
from tests.backend.running import running, until
from tests.fakes import FakeEngine, encoded, grey
from tests.frontend.fake_backend import free_port

HOPS = ["client", "queue", "decode", "preprocess", "infer", "postprocess", "answer"]
CALLER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running_collector:
        yield running_collector


def in_order(root: Span, spans: dict[str, Span], names: list[str]) -> bool:
    """Tell whether hops follow each other within their root."""
    edges = [root.start_ns]
    for name in names:
        assert spans[name].parent_id == root.span_id
        edges += [spans[name].start_ns, spans[name].end_ns]
    return edges == sorted(edges) and edges[-1] <= root.end_ns


async def test_a_frames_trace_has_the_id_that_hello_and_its_number_make(
    collector: Collector,
) -> None:
    began_ns = time.time_ns()
    async with (
        running(FakeEngine(seconds=0.02), trace_to=collector.url, trace_share=1) as backend,
        backend.camera() as camera,
    ):
        await camera.send(420, age_ms=30)
        result = await camera.result()
        trace_id = wire.frame_id(camera.hello.stream, 420)
        spans = await asyncio.to_thread(collector.wait_for, trace_id)
    assert result.traced
    assert sorted(spans) == sorted(["frame", *HOPS])
    root = spans["frame"]
    assert in_order(root, spans, HOPS)
    assert began_ns - 30e6 <= root.start_ns <= root.end_ns <= time.time_ns()
    assert 29e6 < spans["client"].end_ns - spans["client"].start_ns < 31e6
    assert spans["infer"].end_ns - spans["infer"].start_ns >= 20e6
    assert root.attributes == {
        "sightline.stream": camera.hello.stream,
        "sightline.seq": 420,
        "sightline.outcome": "answered",
        "sightline.frame_bytes": root.attributes["sightline.frame_bytes"],
        "sightline.model": "fake v1",
        "sightline.engine": "fake",
        "sightline.device": "CPU",
        "sightline.width": 64,
        "sightline.height": 64,
        "sightline.batch_size": 1,
        "sightline.detections": 1,
    }
    assert collector.resource["service.name"] == "sightline"


async def test_frames_that_fail_or_come_too_late_say_so_in_their_trace(
    collector: Collector,
) -> None:
    async with (
        running(trace_to=collector.url, trace_share=1) as backend,
        backend.camera() as camera,
    ):
        backend.engine.failure = EngineError("The device has no memory left.")
        await camera.send(1)
        await camera.recv()
        backend.engine.failure = None
        await camera.send(2, age_ms=60_000)
        assert await camera.recv() == wire.Dropped(2, "late")
        failed, late = [
            await asyncio.to_thread(collector.wait_for, wire.frame_id(camera.hello.stream, seq))
            for seq in (1, 2)
        ]
    assert failed["frame"].error == "engine_failed"
    assert failed["frame"].attributes["sightline.outcome"] == "failed"
    assert late["frame"].error == ""
    assert late["frame"].attributes["sightline.outcome"] == "late"
    for spans in (failed, late):
        assert in_order(spans["frame"], spans, ["client", "queue", "answer"])


async def test_with_a_share_of_nothing_the_slowest_and_the_failed_are_still_traced(
    collector: Collector,
) -> None:
    async with (
        running(trace_to=collector.url, trace_share=0, deadline_ms=60_000) as backend,
        backend.camera() as camera,
    ):
        traced = []
        for seq in range(100):
            await camera.send(seq, age_ms=30_000 if seq == 9 else 10)
            traced.append((await camera.result()).traced)
        assert traced[0], "nothing was slower before"
        assert traced[9], "thirty seconds stand out"
        assert not all(traced[10:])
        backend.engine.failure = ZeroDivisionError("a bug")
        await camera.send(100)
        await camera.recv()
        trace_id = wire.frame_id(camera.hello.stream, 100)
        spans = await asyncio.to_thread(collector.wait_for, trace_id)
    assert spans["frame"].error == "internal"


async def test_a_frame_traced_is_in_the_log_by_the_same_id(collector: Collector) -> None:
    with capture_logs() as lines:
        async with (
            running(trace_to=collector.url, trace_share=1) as backend,
            backend.camera() as camera,
        ):
            await camera.detect(5)
            trace_id = wire.frame_id(camera.hello.stream, 5)
            await until(lambda: any(line["event"] == "frame traced" for line in lines))
    line = next(line for line in lines if line["event"] == "frame traced")
    assert (line["stream"], line["seq"]) == (camera.hello.stream, 5)
    assert line["trace_id"] == trace_id
    assert line["age_ms"] >= 0


async def test_a_call_is_traced_under_its_caller(collector: Collector) -> None:
    trace_id, caller = CALLER
    headers = {"traceparent": f"00-{trace_id}-{caller}-01"}
    async with running(FakeEngine(seconds=0.02), trace_to=collector.url, trace_share=0) as backend:
        files = {"file": encoded(grey(9))}
        answer = await backend.http.post("/detect", files=files, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] == trace_id
        untraced = await backend.http.post("/detect", files=files)
    spans = collector.trace(trace_id)
    root = spans["POST /detect"]
    assert root.parent_id == caller
    hops = ["receive", "decode", "queue", "preprocess", "infer", "postprocess", "answer"]
    assert in_order(root, spans, hops)
    assert sorted(spans) == sorted(["POST /detect", *hops])
    assert root.attributes["http.response.status_code"] == 200
    assert collector.trace(untraced.headers["x-request-id"]) == {}


async def test_what_waits_is_sent_when_the_server_stops(collector: Collector) -> None:
    async with (
        running(trace_to=f"{collector.url}/v1/traces", trace_share=1) as backend,
        backend.camera() as camera,
    ):
        for seq in range(5):
            await camera.detect(seq)
    for seq in range(5):
        assert "frame" in collector.trace(wire.frame_id(camera.hello.stream, seq))


async def test_nothing_is_traced_unless_asked() -> None:
    async with running() as backend, backend.camera() as camera:
        result = await camera.detect(1)
        assert not result.traced
        assert backend.service.tracer is None


def test_without_traces_the_sdk_is_not_even_loaded() -> None:
    code = (
        "import sys\n"
        "from sightline_backend.app import create_app\n"
        "from sightline_backend.settings import Settings\n"
        "create_app(Settings())\n"
        "parts = ('opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.proto')\n"
        "assert not any(name.startswith(parts) for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("status", "delay_s", "body"),
    [(503, 0, b""), (404, 0, b"nothing here"), (200, 30, b""), (200, 0, b"\xff garbage")],
    ids=["overloaded", "no collector", "slow", "garbage"],
)
async def test_a_collector_that_misbehaves_delays_no_frame(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    delay_s: float,
    body: bytes,
) -> None:
    collector.status, collector.delay_s, collector.body = status, delay_s, body
    monkeypatch.setattr(export_module, "FLUSH_S", 0.3)
    monkeypatch.setattr(export_module, "EVERY_S", 0.05)
    with capture_logs() as lines:
        async with (
            running(trace_to=collector.url, trace_share=1) as backend,
            backend.camera() as camera,
        ):
            for seq in range(300):
                assert (await camera.detect(seq)).traced
            await until(lambda: collector.requests > 0)
        stopped_s = time.monotonic()
    said = [line["event"] for line in lines if line["event"].startswith("traces can't")]
    assert len(said) <= 1, "one line, not thousands"
    assert time.monotonic() - stopped_s < 5


async def test_a_collector_that_is_not_there_is_named_once_and_found_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_module, "SEND_TIMEOUT_S", 2.0)  # one try and another
    monkeypatch.setattr(export_module, "EVERY_S", 0.05)
    port = free_port()

    def told(words: str) -> list[dict[str, object]]:
        return [dict(line) for line in lines if words in line["event"]]

    with capture_logs() as lines:
        async with (
            running(trace_to=f"http://user:secret@127.0.0.1:{port}", trace_share=1) as backend,
            backend.camera() as camera,
        ):
            for seq in range(20):
                await camera.detect(seq)
            await until(lambda: bool(told("traces can't be delivered")))
            with collecting(port):
                await camera.detect(20)
                await until(lambda: bool(told("delivered again")))
    assert len(told("traces can't be delivered")) == 1
    warning = told("traces can't be delivered")[0]
    assert warning["to"] == f"127.0.0.1:{port}"
    assert "refused" in str(warning["why"])
    assert "secret" not in str(lines)


async def test_a_collector_that_hangs_is_told_from_one_that_answers_badly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_module, "SEND_TIMEOUT_S", 0.3)
    monkeypatch.setattr(export_module, "EVERY_S", 0.05)

    with capture_logs() as lines, collecting() as collector:
        async with Tracer(collector.url, 1.0) as tracer:
            for status, delay_s in [(404, 0), (200, 0), (200, 30)]:
                collector.status, collector.delay_s = status, delay_s
                said = len(lines)
                tracer.send(Trace("1" * 32, "frame", 1.0, 2.0, ()))
                await until(lambda said=said: len(lines) > said)  # type: ignore[misc]
    first, again, last = [line for line in lines if line["event"] != "traces are sent"]
    assert "404" in first["why"]
    assert again["event"] == "traces are delivered again"
    assert "timeout" in last["why"]


async def test_a_bug_in_the_sdk_costs_traces_and_never_a_frame(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError("not ours")

    monkeypatch.setattr(export_module.OtlpExport, "send", bug)
    with capture_logs() as lines:
        async with (
            running(trace_to=collector.url, trace_share=1) as backend,
            backend.camera() as camera,
        ):
            for seq in range(10):
                await camera.detect(seq)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == [
        "frames can't be logged or traced"
    ]


async def test_memory_is_bounded_while_the_collector_hangs(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.delay_s = 30
    monkeypatch.setattr(export_module, "FLUSH_S", 0.1)
    monkeypatch.setattr(export_module, "QUEUED_SPANS", 600)
    async with Tracer(collector.url, 1.0) as tracer:
        for number in range(1, 1001):
            hops = (Hop("queue", 1.0, 2.0),)
            tracer.send(Trace(f"{number:032x}", "frame", 1.0, 2.0, hops))
        await until(lambda: collector.requests > 0)
        collector.delay_s = 0
        collector.released.set()
        await asyncio.to_thread(collector.wait_for, f"{1000:032x}")
    assert len(collector.spans) <= 600 + 2 * 512
