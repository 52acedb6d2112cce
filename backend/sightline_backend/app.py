"""Build the server's app: its parts, its routes, and what stands before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.middleware import Middleware

from sightline_backend.access import AccessLog
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.cors import SameHostCors
from sightline_backend.gate import MethodGate, UploadGate
from sightline_backend.gauges import PoolGauges
from sightline_backend.handlers import add_error_handlers
from sightline_backend.loop_lag import watch_loop
from sightline_backend.models.store import ModelStore
from sightline_backend.pool import EnginePool, MakeBatcher, Models
from sightline_backend.reader import Reader
from sightline_backend.routes import detect, health, live, metrics, models, monitor
from sightline_backend.scrape import Scrape
from sightline_backend.service import Service
from sightline_backend.sessions import Sessions
from sightline_backend.settings import Settings
from sightline_backend.telemetry import Telemetry
from sightline_backend.tracing.tracer import Tracer
from sightline_backend.uploads import Uploads
from sightline_backend.version import VERSION
from sightline_backend.workers.choice import LoadEngine, runners
from sightline_engines.picture import PictureLimits
from sightline_monitoring.buckets import HTTP_BUCKETS_S, LATENCY_BUCKETS_S
from sightline_monitoring.engine_processes import EngineProcessCollector
from sightline_monitoring.history import keep
from sightline_monitoring.host import HostCollector
from sightline_monitoring.memory_limit import MemoryLimitCollector
from sightline_monitoring.metrics import Metrics

SLOW_FRAME_PIXELS = 2_100_000  # full HD: of a live frame that isn't a JPEG

_ABOUT = """
Pictures and live video in, boxes out.

* **A picture**: `POST /detect`.
* **Live video**: the WebSocket `/ws/detect`, subprotocol `sightline.v1`. One connection is one
  stream. The server greets with `hello`; the client sends one binary message a frame, a header
  of 16 bytes (version, flags, age in ms, sequence number, capture time) and the encoded
  picture, and JSON to change settings. Each frame is answered by exactly one `result`,
  `dropped` or `error` with its sequence number. `/ws/detect?fps=15&min_fps=5` asks for a rate:
  `hello` tells the one that is promised, or an `error` with `retry_after_s` that there is none.

Every error is `{"error": {"code", "message"}}`: the code is stable, the message says what was
found and how to fix it.
"""


def create_app(
    settings: Settings, *, models: Models | None = None, load: LoadEngine | None = None
) -> FastAPI:
    """Return the app; its models load when it starts.

    Tests pass `models` and `load` of their own in place of the store and the engines; engines
    so loaded run in threads of this process.
    """
    service = _service(settings, models, load)
    metrics_ = service.telemetry.metrics
    app = FastAPIOffline(
        title="Sightline",
        version=VERSION,
        description=_ABOUT,
        lifespan=lambda app: _life(service),
        middleware=[
            Middleware(UploadGate, settings, service.telemetry.turned_away),
            Middleware(SameHostCors, settings),
        ],
    )
    app.state.service = service
    metrics_.watch_streams(lambda: len(service.sessions))
    metrics_.watch_engine(lambda: service.trouble is None)
    _add_routes(app)
    _add_http_metrics(app, metrics_)
    app.add_middleware(MethodGate)
    app.add_middleware(AccessLog, service.tracer)  # added last, so it comes first
    return app


def _service(settings: Settings, models: Models | None, load: LoadEngine | None) -> Service:
    telemetry = Telemetry(Metrics(VERSION))
    pool = EnginePool(
        models or ModelStore(settings.models_dir),
        _batchers(settings, load, telemetry),
        settings.model,
        settings.preload,
        settings.max_models,
    )
    uploads = Uploads()
    gauges = PoolGauges(pool, uploads, telemetry.metrics)
    for collector in (
        HostCollector(settings.models_dir),
        MemoryLimitCollector(),
        EngineProcessCollector(lambda: gauges.pids),
    ):
        telemetry.metrics.add(collector)
    return Service(
        settings=settings,
        pool=pool,
        sessions=Sessions(settings.max_streams),
        telemetry=telemetry,
        uploads=uploads,
        gauges=gauges,
        scrape=Scrape(telemetry.metrics.registry, Reader()),
        tracer=Tracer(settings.trace_to, settings.trace_share) if settings.trace_to else None,
    )


@asynccontextmanager
async def _life(service: Service) -> AsyncIterator[None]:
    """Load the models and watch over them until the server stops."""
    metrics = service.telemetry.metrics
    # The tracer closes last: what the pool's last frames leave is sent, too.
    async with service.tracer or nullcontext(), service.pool:
        watches = [
            asyncio.create_task(watch_loop(metrics.loop_lag.observe)),
            asyncio.create_task(service.gauges.watch()),
            asyncio.create_task(keep(service.history, metrics.registry, service.reader.run)),
        ]
        yield
        await service.sessions.stop(service.settings.shutdown_timeout_s)
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)
        service.reader.close()


def _batchers(settings: Settings, load: LoadEngine | None, telemetry: Telemetry) -> MakeBatcher:
    limits = BatchLimits(
        deadline_s=settings.deadline_ms / 1e3,
        max_batch=settings.max_batch,
        max_streams=settings.max_streams,
        max_uploads=settings.max_uploads,
        picture=PictureLimits(
            max_bytes=settings.max_frame_bytes,
            max_pixels=settings.max_frame_pixels,
            max_slow_pixels=min(settings.max_frame_pixels, SLOW_FRAME_PIXELS),
            max_scans=settings.max_frame_scans,
        ),
    )
    return lambda spec: Batcher(runners(spec, settings, limits.picture, load), limits, telemetry)


def _add_routes(app: FastAPI) -> None:
    for module in (detect, live, models, health, monitor, metrics):
        app.include_router(module.router)
    add_error_handlers(app)


def _add_http_metrics(app: FastAPI, metrics_: Metrics) -> None:
    instrumentator = Instrumentator(
        should_group_status_codes=False,  # 503 is a refusal and 500 a failure
        excluded_handlers=["/metrics", "/health", "/api/monitor"],
        registry=metrics_.registry,
    )
    instrumentator.instrument(
        app, latency_lowr_buckets=HTTP_BUCKETS_S, latency_highr_buckets=LATENCY_BUCKETS_S
    )
