"""Triton on a GPU with its own TensorRT and ONNX Runtime: the boxes of the CPU, in batches."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.convert.options import ConvertOptions
from sightline_engines.convert.parity import iou_matrix
from sightline_engines.convert.plan import build_plan, can_build
from sightline_engines.device import CPU, nvidia_gpus
from sightline_engines.onnxrt import load_onnxruntime
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import default_options, detect
from sightline_engines.recognise import recognise
from sightline_engines.triton.bench.measure import measure
from sightline_engines.triton.bench.options import BenchOptions, Closed, Count
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.control import Control
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.engine import load_triton
from sightline_engines.triton.options import Transport, TritonOptions
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import ServerOptions, TritonServer
from sightline_engines.types import Detections, Engine, Format, Image, ModelSpec

pytestmark = pytest.mark.gpu

MOST = 8  # pictures a batch
SAME_IOU = 0.9  # of a box in FP16
NEAR = 0.05  # of the threshold: a box there may fall on either side of it
LOAD_S = 600.0  # ONNX Runtime's TensorRT builds its engines as it warms up
IMAGE = Path("/opt/tritonserver")  # where NVIDIA's image has it
KINDS = ("plan", "accelerator")


@dataclass(frozen=True, slots=True, eq=False)
class OnGpu:
    """A server on the GPU, and what is deployed on it by kind."""

    server: TritonServer
    client: Client
    deployed: dict[str, tuple[ModelSpec, Deployment]]

    def of(self, kind: str) -> tuple[ModelSpec, Deployment]:
        """Return a model's file and its deployment; skips where it couldn't be made here."""
        if kind not in self.deployed:
            pytest.skip(f"no TensorRT plan can be built here: {can_build()}")
        return self.deployed[kind]


def installed() -> tuple[Path, Path]:
    """Return the server's program and its backends' folder; skips where something is missing."""
    if not nvidia_gpus():
        pytest.skip("no NVIDIA GPU")
    found = shutil.which("tritonserver") or shutil.which(IMAGE / "bin" / "tritonserver")
    if found is None:
        pytest.skip(f"no tritonserver on the PATH or in {IMAGE}/bin")
    beside = Path(found).resolve().parent.parent / "backends"
    for name in ("onnxruntime", "tensorrt"):
        if not (beside / name / f"libtriton_{name}.so").is_file():
            pytest.skip(f"{found} has no backend {name} in {beside}")
    return Path(found), beside


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnGpu]:
    program, backends = installed()
    folder = tmp_path_factory.mktemp("on-gpu")
    models = folder / "models"
    models.mkdir()
    options = ServerOptions(program, models, backends, ready_s=180.0)
    with (
        TritonServer(options, folder / "server.log") as server,
        open_client(TritonOptions(server.grpc_url, timeout_s=30.0)) as client,
    ):
        source = recognise(shipped_model())
        deployed = {"accelerator": deploy(client, models, source, ACCELERATED)}
        if can_build() is None:
            asked = ConvertOptions(Format.TENSORRT, "fp16", max_batch=MOST)
            plan = build_plan(source, asked, [], folder)
            deployed["plan"] = deploy(client, models, replace(plan, name="plan"), PLAN)
        yield OnGpu(server, client, deployed)


PLAN = TritonConfig(
    platform="tensorrt_plan", gpus=(0,), preferred_batch_sizes=(4, MOST), max_queue_delay_us=2000
)
ACCELERATED = replace(
    PLAN, platform="onnxruntime", accelerator="tensorrt", accelerator_precision="fp16"
)


def deploy(
    client: Client, models: Path, spec: ModelSpec, config: TritonConfig
) -> tuple[ModelSpec, Deployment]:
    """Deploy a network and load it, without the steps around it: they need Python on the server."""
    repository = Repository(models)
    deployments = Deployments(repository)
    deployment = deployments.prepare(
        spec, config, max_batch=MOST, built_from=shipped_model() if spec.passport else None
    )
    deployments.point(deployment)
    control = Control(client, repository)
    control.load(deployment.detector, LOAD_S)
    control.load(deployment.tensors, LOAD_S)
    return spec, deployment


@contextmanager
def closing(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.close()


def pictures(shared_data: Path) -> list[Image]:
    files = sorted((shared_data / "faces").rglob("*.jpg"))[: MOST + 3]  # more than one batch
    return [decode_picture(file.read_bytes(), PictureLimits()) for file in files]


def missed(found: Detections, wanted: Detections, threshold: float) -> int:
    """Count the boxes, but for those near the threshold, that the other hasn't."""
    sure = wanted.score >= threshold + NEAR
    if not len(found):
        return int(sure.sum())
    near = iou_matrix(wanted.xyxy, found.xyxy) >= SAME_IOU
    same = near & (wanted.class_id[:, None] == found.class_id[None, :])
    return int((sure & ~same.any(axis=1)).sum())


def compare(spec: ModelSpec, engine: Engine, local: Engine, images: list[Image]) -> None:
    """Check that both find the same boxes in the same pictures."""
    asked = [default_options(spec)] * len(images)
    found, wanted = detect(engine, images, asked)[0], detect(local, images, asked)[0]
    assert sum(map(len, wanted)) > 0
    for one, other in zip(found, wanted, strict=True):
        threshold = asked[0].conf
        assert missed(one, other, threshold) == missed(other, one, threshold) == 0


@pytest.mark.parametrize("transport", ["tensors", "cuda_shm"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_the_boxes_that_the_onnx_file_finds_on_the_cpu(
    triton: OnGpu, shared_data: Path, kind: str, transport: Transport
) -> None:
    spec, _ = triton.of(kind)
    options = TritonOptions(triton.server.grpc_url, transport=transport, timeout_s=30.0)
    with (
        closing(load_triton(spec, options)) as engine,
        closing(load_onnxruntime(recognise(shipped_model()), CPU)) as local,
    ):
        assert engine.served.engine == "triton"
        compare(spec, engine, local, pictures(shared_data))


@pytest.mark.parametrize("kind", KINDS)
def test_requests_that_come_together_run_in_batches(triton: OnGpu, kind: str) -> None:
    _, deployment = triton.of(kind)
    asked = BenchOptions(
        triton.server.grpc_url,
        deployment.tensors,
        load=Closed(4 * MOST),
        until=Count(1000),
        warmup_requests=4 * MOST,
    )
    found = measure(asked)
    assert (found.requests, found.failed) == (1000, 0)
    sizes = found.server[-1].batch_sizes
    assert max(sizes) > 1
    assert found.server[-1].pictures > found.server[-1].executions
    assert sum(size * count for size, count in sizes.items()) == 1000
