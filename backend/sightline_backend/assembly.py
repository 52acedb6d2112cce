"""The parts of a server, put together."""

from __future__ import annotations

from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.gauges import PoolGauges
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.settings import job_settings
from sightline_backend.jobs.supervisor import Supervisor
from sightline_backend.pool import EnginePool
from sightline_backend.reader import Reader
from sightline_backend.scrape import Scrape
from sightline_backend.service import Service
from sightline_backend.serving.loading import MakeBatcher, Models
from sightline_backend.serving.plans import Plans
from sightline_backend.serving.serving import Serving
from sightline_backend.serving.turns import Machine
from sightline_backend.sessions import Sessions
from sightline_backend.settings import Settings
from sightline_backend.store.store import Store, open_store
from sightline_backend.telemetry import Telemetry
from sightline_backend.tracing.tracer import Tracer
from sightline_backend.triton.parts import triton_parts
from sightline_backend.uploads import Uploads
from sightline_backend.version import VERSION
from sightline_backend.workers.choice import LoadEngine, cores, runners
from sightline_engines.picture import PictureLimits
from sightline_engines.types import ModelSpec
from sightline_monitoring.engine_processes import EngineProcessCollector
from sightline_monitoring.host import HostCollector
from sightline_monitoring.memory_limit import MemoryLimitCollector
from sightline_monitoring.metrics import Metrics

SLOW_FRAME_PIXELS = 2_100_000  # full HD: of a live frame that isn't a JPEG


def assemble(settings: Settings, models: Models | None, load: LoadEngine | None) -> Service:
    """Return a server's parts, none of them at work yet; see `create_app`."""
    telemetry = Telemetry(Metrics(VERSION))
    store = open_store(settings.models_dir, settings.database_url)
    jobs = Supervisor(store, JobRecords(store.database), job_settings(settings), [telemetry])
    plans = Plans(store, engine=settings.engine, triton=settings.triton)
    pool = _pool(settings, _batchers(settings, load, telemetry), store, plans, models)
    uploads = Uploads()
    gauges = PoolGauges(pool, uploads, jobs, plans, telemetry.metrics)
    for collector in (
        HostCollector(settings.models_dir),
        MemoryLimitCollector(),
        EngineProcessCollector(lambda: gauges.pids),
    ):
        telemetry.metrics.add(collector)
    telemetry.metrics.lifecycle.watch_store(store.database.answers)
    most_loss = settings.max_accuracy_loss
    serving = Serving(store, pool, jobs, telemetry, plans=plans, max_accuracy_loss=most_loss)
    return Service(
        settings=settings,
        store=store,
        jobs=jobs,
        pool=pool,
        serving=serving,
        sessions=Sessions(settings.max_streams),
        telemetry=telemetry,
        uploads=uploads,
        gauges=gauges,
        scrape=Scrape(telemetry.metrics.registry, Reader()),
        triton=triton_parts(settings, store, pool, serving, telemetry.metrics.triton),
        tracer=Tracer(settings.trace_to, settings.trace_share) if settings.trace_to else None,
    )


def _pool(
    settings: Settings, make: MakeBatcher, store: Store, plans: Plans, models: Models | None
) -> EnginePool:
    names = settings.model, settings.preload, settings.max_models
    if models is not None:  # not of the store, which then has no files of theirs to hold
        return EnginePool(models, make, *names)
    return EnginePool(store.models, make, *names, fit=plans.fit, hold=store.models.hold)


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
    machine = Machine(settings.instances, cores(), settings.triton_in_flight)

    def make(spec: ModelSpec) -> Batcher:
        made = Batcher(runners(spec, settings, limits.picture, load), limits, telemetry, machine)
        made.at_triton = (spec.engine or settings.engine) == "triton"
        return made

    return make
