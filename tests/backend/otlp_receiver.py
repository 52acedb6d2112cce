"""An OTLP/HTTP collector as a test needs it: it keeps the spans, or misbehaves as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan


@dataclass(frozen=True, slots=True)
class Span:
    """A span that arrived; times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str  # empty for a root
    name: str
    start_ns: int
    end_ns: int
    error: str
    attributes: dict[str, str | int | float]


@dataclass(slots=True)
class Collector:
    """What has arrived, and how the next requests are answered."""

    url: str
    status: int = 200
    body: bytes = b""
    delay_s: float = 0.0
    spans: list[Span] = field(default_factory=list)
    requests: int = 0
    resource: dict[str, str | int | float] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)  # ends every delay

    def trace(self, trace_id: str) -> dict[str, Span]:
        """Return the spans of a trace by name."""
        return {span.name: span for span in self.spans if span.trace_id == trace_id}

    def wait_for(self, trace_id: str, within_s: float = 30.0) -> dict[str, Span]:
        """Wait until a trace's root is here, which is sent last, and return all of it."""
        end_s = time.monotonic() + within_s
        while not any(not s.parent_id for s in self.trace(trace_id).values()):
            assert time.monotonic() < end_s, f"no trace {trace_id} in {len(self.spans)} spans"
            time.sleep(0.02)
        return self.trace(trace_id)

    def take(self, data: bytes) -> None:
        """Keep what a request brings."""
        message = ExportTraceServiceRequest.FromString(data)
        for group in message.resource_spans:
            self.resource.update(_attributes(group.resource.attributes))
            for scope in group.scope_spans:
                self.spans.extend(_span(span) for span in scope.spans)


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """Run a collector on a port of this machine, a free one unless it is named."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    server.collector = collector  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        collector.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        collector: Collector = self.server.collector  # type: ignore[attr-defined]
        data = self.rfile.read(int(self.headers["content-length"]))
        collector.requests += 1
        if collector.delay_s:
            collector.released.wait(collector.delay_s)
        if collector.status == 200 and self.path == "/v1/traces":
            collector.take(data)
        try:
            self.send_response(collector.status)
            self.send_header("content-length", str(len(collector.body)))
            self.end_headers()
            self.wfile.write(collector.body)
        except OSError:
            return  # the sender has given up

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _span(span: ProtoSpan) -> Span:
    return Span(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.message,
        _attributes(span.attributes),
    )


def _attributes(pairs: object) -> dict[str, str | int | float]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value"))
        for pair in pairs  # type: ignore[attr-defined]
    }
