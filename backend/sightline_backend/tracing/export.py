"""Traces to OpenTelemetry spans, and on to a collector in a thread of the SDK's.

Imported only where a collector is named. Nothing global is set: no provider, no propagator.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

import structlog
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from sightline_backend.tracing.hops import Trace
from sightline_backend.version import VERSION

QUEUED_SPANS = 4096  # the oldest are let go beyond; some 8 MB
SEND_TIMEOUT_S = 5.0
EVERY_S = 1.0
FLUSH_S = 2.0
PATH = "/v1/traces"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class OtlpExport:
    """Sends traces to a collector; `close` ends its thread."""

    def __init__(self, provider: TracerProvider, ids: _GivenIds, exporter: SpanExporter) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("sightline", VERSION)
        self._ids = ids
        self._exporter = exporter

    @classmethod
    def start(cls, to: str) -> Self:
        """Start the thread that sends to an address such as http://localhost:4318."""
        words = _LastWords.listen()
        ids = _GivenIds()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": "sightline", "service.version": VERSION}),
            id_generator=ids,
            shutdown_on_exit=False,
        )
        exporter = _Delivery(_exporter(to), _shown(to), words)
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter, max_queue_size=QUEUED_SPANS, schedule_delay_millis=EVERY_S * 1e3
            )
        )
        log.info("traces are sent", to=_shown(to))
        return cls(provider, ids, exporter)

    def send(self, trace: Trace) -> None:
        """Put a trace in line; when the line is full its oldest spans are let go."""
        self._ids.trace_id = int(trace.trace_id, 16)
        offset_ns = time.time_ns() - time.monotonic_ns()
        root = self._tracer.start_span(
            trace.name,
            _beneath(trace),
            kind=api.SpanKind.SERVER,
            attributes=trace.attributes,
            start_time=_ns(trace.start_s, offset_ns),
        )
        inside = api.set_span_in_context(root, Context())
        for hop in trace.hops:
            span = self._tracer.start_span(hop.name, inside, start_time=_ns(hop.start_s, offset_ns))
            span.end(_ns(hop.end_s, offset_ns))
        if trace.failure is not None:
            root.set_status(api.Status(api.StatusCode.ERROR, trace.failure))
        root.end(_ns(trace.end_s, offset_ns))

    def close(self) -> None:
        """Send what waits, within two seconds; then give up. Blocks."""
        flushing = threading.Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)
        if flushing.is_alive():
            self._exporter.shutdown()  # no further batch is tried; the process may end
            log.warning("the last traces were not sent: the collector is too slow")


class _GivenIds(IdGenerator):
    """Span ids by chance, trace ids as they are set: a frame's is its own id."""

    def __init__(self) -> None:
        self.trace_id = 0
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        return self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self.trace_id


class _Delivery(SpanExporter):
    """Passes spans on, and says once that they can't be delivered, and once that they can."""

    def __init__(self, exporter: SpanExporter, to: str, words: _LastWords) -> None:
        self._exporter = exporter
        self._to = to
        self._words = words
        self._lost = 0  # spans, since the last delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; called on the SDK's thread."""
        self._words.forget()
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                log.info("traces are delivered again", to=self._to, lost_spans=self._lost)
            self._lost = 0
        else:
            if not self._lost:
                log.warning("traces can't be delivered", to=self._to, why=self._words.heard)
            self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()


class _LastWords(logging.Handler):
    """Hears what the SDK logs, a line a try, in the log's stead."""

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """Begin a new delivery."""
        self.heard = "unknown"

    @classmethod
    def listen(cls) -> Self:
        """Take the place of whoever listened before."""
        self = cls()
        logger = logging.getLogger("opentelemetry")
        logger.propagate = False
        logger.handlers[:] = [self]
        return self

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the newest reason; that it gave up in the end is one where there is no other."""
        message = record.getMessage()
        if record.levelno < logging.WARNING:
            return
        if self.heard == "unknown" or "due to timeout" not in message:
            self.heard = message[:300]


def _exporter(to: str) -> OTLPSpanExporter:
    address = to.rstrip("/")
    endpoint = address if address.endswith(PATH) else address + PATH
    return OTLPSpanExporter(endpoint=endpoint, timeout=SEND_TIMEOUT_S)


def _shown(to: str) -> str:
    """Return an address without the password it may hold."""
    return urlsplit(to).netloc.rpartition("@")[2]


def _beneath(trace: Trace) -> Context:
    """Return the caller's span as context, none for a trace of our own."""
    if trace.parent_id is None:
        return Context()
    caller = api.SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(api.TraceFlags.SAMPLED),
    )
    return api.set_span_in_context(api.NonRecordingSpan(caller), Context())


def _ns(monotonic_s: float, offset_ns: int) -> int:
    return round(monotonic_s * 1e9) + offset_ns
