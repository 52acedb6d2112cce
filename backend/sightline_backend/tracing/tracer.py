"""Which frames and calls are traced, and where their traces go."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sightline_backend.pace import Pace
from sightline_backend.tracing.hops import Trace
from sightline_backend.tracing.traceparent import TraceParent

if TYPE_CHECKING:  # the SDK is loaded only where traces are asked for
    from sightline_backend.tracing.export import OtlpExport

ASKED_PER_S, ASKED_AT_ONCE = 10.0, 50  # traces that callers ask for; more are not worth a server
_SPREAD = 0x9E3779B1  # 2^32 / golden ratio: multiples of it fall evenly
_ALL = 2**32


class Tracer:
    """Sends traces to one collector; use as `async with Tracer(…)`. For the event loop's thread.

    Nothing here waits: a collector that is slow or gone costs traces, never frames.
    """

    def __init__(self, to: str, share: float) -> None:
        """`to` is an OTLP/HTTP address; `share` (0..1) of frames and calls are traced."""
        self._to = to
        self._below = round(share * _ALL)
        self._asked = Pace(ASKED_PER_S, ASKED_AT_ONCE)
        self._export: OtlpExport | None = None

    async def __aenter__(self) -> Self:
        """Load OpenTelemetry and start its thread."""
        from sightline_backend.tracing.export import OtlpExport

        self._export = OtlpExport.start(self._to)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send what waits, within a bounded time."""
        export, self._export = self._export, None
        if export is not None:
            await asyncio.to_thread(export.close)

    def samples(self, salt: int, seq: int) -> bool:
        """Tell whether frame `seq` is in the share; `salt` tells streams apart."""
        return (seq * _SPREAD + salt) % _ALL < self._below

    def samples_call(self, trace_id: str, parent: TraceParent | None) -> bool:
        """Tell whether a call is traced: its caller decides, if it takes part in tracing."""
        if parent is None:
            return int(trace_id[-8:], 16) < self._below
        now_s = time.monotonic()
        if not parent.sampled or self._asked.wait_s(now_s) > 0:
            return False
        self._asked.count(now_s)
        return True

    def send(self, trace: Trace) -> None:
        """Hand a trace to the exporter; after the end it is let go."""
        if self._export is not None:
            self._export.send(trace)
