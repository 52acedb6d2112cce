"""Build the server's app: its parts, its routes, and what stands before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.middleware import Middleware

from sightline_backend.access import AccessLog
from sightline_backend.assembly import assemble
from sightline_backend.cors import SameHostCors
from sightline_backend.datasets import mend_datasets
from sightline_backend.errors import StoreError
from sightline_backend.gate import MethodGate, UploadGate
from sightline_backend.handlers import add_error_handlers
from sightline_backend.jobs.supervisor import Supervisor
from sightline_backend.loop_lag import watch_loop
from sightline_backend.routes import (
    benchmark,
    datasets,
    detect,
    health,
    jobs,
    live,
    metrics,
    models,
    monitor,
    predict,
    promote,
    root,
    triton,
)
from sightline_backend.service import Service
from sightline_backend.serving.loading import Models
from sightline_backend.serving.standing import standings
from sightline_backend.settings import Settings
from sightline_backend.store.store import Store
from sightline_backend.version import VERSION
from sightline_backend.workers.choice import LoadEngine
from sightline_monitoring.buckets import HTTP_BUCKETS_S, LATENCY_BUCKETS_S
from sightline_monitoring.history import keep
from sightline_monitoring.metrics import Metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

STANDINGS_EVERY_S = 30.0

_ABOUT = """
Pictures and live video in, boxes out.

* **A picture**: `POST /detect`; `POST /predict` where a model is deployed at Triton.
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
    service = assemble(settings, models, load)
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


@asynccontextmanager
async def _life(service: Service) -> AsyncIterator[None]:
    """Load the models and watch over them until the server stops."""
    metrics = service.telemetry.metrics
    # The tracer closes last: what the pool's last frames leave is sent, too.
    async with (
        service.tracer or nullcontext(),
        _begun(service.jobs),
        service.pool,
        service.serving,
        service.triton.watched(),
    ):
        watches = [
            asyncio.create_task(watch_loop(metrics.loop_lag.observe)),
            asyncio.create_task(service.gauges.watch()),
            asyncio.create_task(keep(service.history, metrics.registry, service.reader.run)),
            asyncio.create_task(_watch_standings(service)),
            asyncio.create_task(_mend(service.store)),
        ]
        yield
        await service.sessions.stop(service.settings.shutdown_timeout_s)
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)
        service.reader.close()
    await asyncio.to_thread(service.store.close)


@asynccontextmanager
async def _begun(jobs: Supervisor) -> AsyncIterator[None]:
    """Take jobs until the server stops; what serves doesn't wait for a store that can't be used."""
    try:
        await jobs.__aenter__()
    except StoreError as error:
        log.warning("no jobs can be run", reason=error.message)
        yield
        return
    try:
        yield
    finally:
        await jobs.__aexit__()


async def _mend(store: Store) -> None:
    """Mend the data sets; a store that can't be used is told of elsewhere."""
    try:
        await asyncio.to_thread(mend_datasets, store)
    except StoreError:
        pass
    except Exception:  # the outermost loop: it is nobody's to wait for
        log.exception("the data sets can't be mended")


async def _watch_standings(service: Service) -> None:
    """Tell the metrics again and again what is known of the models that serve."""
    while True:
        served = [batcher.served for batcher in service.pool.running]
        try:
            known = await asyncio.to_thread(standings, service.store, served)
        except StoreError as error:
            log.warning("what serves can't be looked up", reason=error.message)
        except Exception:  # the outermost loop: old figures for ever would be worse than none
            log.exception("what serves can't be looked up")
        else:
            lifecycle = service.telemetry.metrics.lifecycle
            lifecycle.promoted(known.accuracy, known.loss, known.slowdown)
        await asyncio.sleep(STANDINGS_EVERY_S)


def _add_routes(app: FastAPI) -> None:
    detection = detect, predict, live
    life = models, promote, triton, datasets, jobs, benchmark
    for module in (*detection, *life, health, monitor, metrics, root):
        app.include_router(module.router)
    add_error_handlers(app)


def _add_http_metrics(app: FastAPI, metrics_: Metrics) -> None:
    instrumentator = Instrumentator(
        should_group_status_codes=False,  # 503 is a refusal and 500 a failure
        excluded_handlers=[
            "/metrics",
            "/health",
            "/api/monitor",
            "/api/triton$",
            "/api/jobs/.*events",
        ],
        registry=metrics_.registry,
    )
    instrumentator.instrument(
        app, latency_lowr_buckets=HTTP_BUCKETS_S, latency_highr_buckets=LATENCY_BUCKETS_S
    )
