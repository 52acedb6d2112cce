"""Requests a second and p99 on a GPU, for batches of 1, 16, 32 and 64."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sightline_engines.assets import shipped_model
from sightline_engines.convert.options import ConvertOptions
from sightline_engines.convert.plan import build_plan, can_build
from sightline_engines.errors import (
    DeployError,
    EngineAwayError,
    ProviderError,
    SightlineError,
)
from sightline_engines.recognise import recognise
from sightline_engines.triton.bench.figures import Measured
from sightline_engines.triton.bench.measure import measure
from sightline_engines.triton.bench.options import BenchOptions, Closed, Stable
from sightline_engines.triton.bench.summary import BUSY
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.control import Control
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.gpu_figures import gpu_figures
from sightline_engines.triton.metrics_page import fetch_metrics
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import ServerOptions, TritonServer
from sightline_engines.types import Format, ModelSpec

# Requests a second and p99 in ms, as published for an A100.
PUBLISHED = {1: (500, 15), 16: (2000, 20), 32: (3000, 25), 64: (4000, 30)}
LIMIT_MS = 30.0
LEAST_USE = 0.8
FULL = (1, 2, 4, 8)  # batches in flight: one runs, one waits, the others travel
LOAD_S = 600.0  # ONNX Runtime's TensorRT builds its engines as it warms up


@dataclass(frozen=True, slots=True)
class Place:
    """What runs the model, and which."""

    program: Path
    backends: Path | None  # None: beside the program, as in NVIDIA's image
    model: Path | None  # None: the shipped one, in FP16
    folder: Path


@dataclass(frozen=True, slots=True)
class Found:
    """One load of one batch."""

    measured: Measured
    use: float | None  # of the busiest GPU, 0 to 1
    processes: int  # that sent

    @property
    def p99_ms(self) -> float:
        """Infinite where nothing was answered."""
        return self.measured.latency_ms.p99 if self.measured.latency_ms else float("inf")

    @property
    def holds(self) -> bool:
        """Whether both targets hold together."""
        return self.p99_ms < LIMIT_MS and (self.use or 0.0) > LEAST_USE


def measured(place: Place, window_s: float) -> list[str]:
    """Return the table; raises ProviderError where there is no GPU or no tritonserver for it."""
    program = _checked(place.program)
    models = place.folder / "gpu"
    models.mkdir()
    beside = program.resolve().parent.parent / "backends"
    options = ServerOptions(
        program,
        models,
        place.backends or (beside if beside.is_dir() else None),
        arguments=("--metrics-interval-ms=200",),  # a window has ten readings of the GPU's use
        ready_s=180.0,
    )
    with (
        TritonServer(options, place.folder / "gpu.log") as server,
        open_client(TritonOptions(server.grpc_url, timeout_s=30.0)) as client,
    ):
        spec, built_from, remarks = _model(place, client, models)
        found: dict[int, Found] = {}
        for batch in PUBLISHED:
            with _served(client, models, spec, batch, built_from) as name:
                found[batch] = _best(server, name, batch, window_s)
    return table(f"{spec.name}, {_told(spec)}", found, remarks)


def table(what: str, found: Mapping[int, Found], remarks: Sequence[str] = ()) -> list[str]:
    """Return the lines: a row for each batch beside what is published, then what to know of it."""
    lines = [
        f"## {what}, on a GPU: requests of one picture, batched by the server",
        "",
        "| batch | requests/s | p99, ms | GPU use | in flight | mean batch run "
        "| published for an A100 | p99 < 30 ms and use > 80 % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for batch, best in found.items():
        rate, p99 = PUBLISHED[batch]
        lines.append(f"{_row(batch, best)} | {rate} at {p99} ms | {_yes(best.holds)} |")
    said = [
        f"Batch {batch}: {one.measured.remark}."
        for batch, one in found.items()
        if one.measured.remark
    ]
    return [*lines, "", *(line for one in (*remarks, *said) for line in (one, ""))]


def _model(place: Place, client: Client, models: Path) -> tuple[ModelSpec, Path | None, list[str]]:
    """Return what is measured and, of a plan of our own, the ONNX file that it was built from.

    That is the file that was named, else a plan if this Triton takes one.
    """
    source = place.model or shipped_model()
    spec = recognise(source)
    if place.model is not None:
        return spec, None, []
    reason = can_build()
    if reason is None:
        options = ConvertOptions(Format.TENSORRT, "fp16", max_batch=max(PUBLISHED))
        try:
            plan = build_plan(spec, options, [], place.folder)
            with _served(client, models, plan, max(PUBLISHED), source):
                return plan, source, []
        except SightlineError as error:
            reason = error.message  # another TensorRT than Triton's, most likely
    return spec, None, [f"No TensorRT plan, so ONNX Runtime's own TensorRT ran it: {reason}"]


def _told(spec: ModelSpec) -> str:
    if spec.format is Format.TENSORRT:
        return f"TensorRT plan in {spec.precision}"
    return "ONNX Runtime with TensorRT in fp16"


def _checked(program: Path) -> Path:
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        raise ProviderError(
            "this machine shows no NVIDIA GPU (/dev/nvidia0). Run it where there is one, such as "
            "in Triton's own image with --gpus all."
        )
    found = shutil.which(program)
    if found is None:
        raise ProviderError(f"{program} isn't here. Name a tritonserver with --server PATH.")
    return Path(found)


@contextmanager
def _served(
    client: Client, models: Path, spec: ModelSpec, batch: int, built_from: Path | None
) -> Iterator[str]:
    """Have a model loaded for so large a batch; the network alone, which is what is measured."""
    plan = spec.format is Format.TENSORRT
    config = TritonConfig(
        platform="tensorrt_plan" if plan else "onnxruntime",
        accelerator="" if plan else "tensorrt",
        accelerator_precision="fp32" if plan else "fp16",
        instance_count=2,
        gpus=(0,),
        preferred_batch_sizes=(batch,) if batch > 1 else (),
        max_queue_delay_us=1000 if batch > 1 else 0,
    )
    repository = Repository(models)
    deployments = Deployments(repository)
    deployment = deployments.prepare(spec, config, max_batch=batch, built_from=built_from)
    deployments.point(deployment)
    control = Control(client, repository)
    try:
        control.load(deployment.detector, LOAD_S)
        control.load(deployment.tensors, LOAD_S)
        yield deployment.tensors
    finally:
        for name in (deployment.tensors, deployment.detector):
            with suppress(DeployError, EngineAwayError):  # what went wrong before says more
                control.unload(name, dependents=False)


def _best(server: TritonServer, name: str, batch: int, window_s: float) -> Found:
    """Return the fastest load that holds both targets; else the fastest within p99, or the first.

    More in flight has a longer p99, so what lies beyond the limit isn't tried.
    """
    tried: list[Found] = []
    for full in FULL:
        processes = tried[-1].processes if tried else 1
        tried.append(_measured(server, name, batch * full, window_s, processes))
        if tried[-1].p99_ms >= LIMIT_MS:
            break
    within = [one for one in tried if one.p99_ms < LIMIT_MS] or tried[:1]
    both = [one for one in within if one.holds] or within
    return max(both, key=lambda one: one.measured.requests_per_s)


def _measured(
    server: TritonServer, name: str, in_flight: int, window_s: float, processes: int
) -> Found:
    """Measure with as many processes as it takes, so that none of them is what limits."""
    most = max(1, min(in_flight, (os.cpu_count() or 2) // 2))
    while True:
        uses: list[float] = []
        options = BenchOptions(
            server.grpc_url,
            name,
            load=Closed(in_flight),
            until=Stable(window_s),
            warmup_requests=4 * in_flight,
            processes=min(processes, most),
        )
        found = measure(options, partial(_look, server, uses))
        if found.client_cpu <= BUSY or options.processes == most:
            return Found(found, statistics.median(uses) if uses else None, options.processes)
        processes = options.processes * 2


def _look(server: TritonServer, uses: list[float], _share: float, doing: str) -> None:
    """Note the GPU's use while a window is measured."""
    if not doing.startswith("window"):
        return
    with suppress(EngineAwayError):
        gpus = gpu_figures(fetch_metrics(server.metrics_url, 1.0))
        uses += sorted(one.use for one in gpus if one.use is not None)[-1:]


def _row(batch: int, best: Found) -> str:
    found = best.measured
    network = found.server[-1] if found.server else None
    ran = network.pictures / network.executions if network and network.executions else 0.0
    use = "-" if best.use is None else f"{best.use:.0%}"
    return (
        f"| {batch} | {found.requests_per_s:.0f} | {best.p99_ms:.1f} | {use} | {found.load} "
        f"| {ran:.1f}"
    )


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
