"""A PyTorch module that the test makes goes through the whole pipeline, on the processor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import JobRequest, Kind, PipelineRequest
from sightline_backend.jobs.supervisor import JobSettings, Supervisor
from sightline_backend.jobs.work.context import WorkSettings
from sightline_backend.store.store import Store, open_store
from sightline_engines.convert.convert import can_make
from sightline_engines.types import Format
from tests.conftest import missing

SIDE, SQUARE = 64, 16

# Made in a process of its own: PyTorch costs seconds to import. It finds bright squares.
MODULE = """
import sys, torch
from torch import nn

class Spots(nn.Module):
    def __init__(self):
        super().__init__()
        self.light, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1)
        for tensor, value in (
            (self.light.weight, 1 / 27), (self.light.bias, 0.0),
            (self.head.weight, 10.0), (self.head.bias, -30.0),
        ):
            nn.init.constant_(tensor, value)
        grids = []
        for stride in (8, 16, 32):
            y, x = torch.meshgrid(*[torch.arange(64 // stride) + 0.5] * 2, indexing="ij")
            grids.append(torch.stack((x, y)).reshape(1, 2, -1) * stride)
        self.register_buffer("centres", torch.cat(grids, 2))

    def forward(self, images):
        light = torch.relu(self.light(images))
        maps = [
            self.head(nn.functional.avg_pool2d(light, stride)).flatten(2) for stride in (8, 16, 32)
        ]
        scores = torch.cat(maps, 2).sigmoid()
        centres = self.centres.expand(images.shape[0], -1, -1)
        return torch.cat((centres, torch.full_like(centres, 16.0), scores, 0.01 * scores), 1)

torch.jit.trace(Spots().eval(), torch.zeros(1, 3, 64, 64)).save(sys.argv[1])
"""


def draw(folder: Path) -> None:
    """Write a YOLO data set of grey pictures with one bright square each."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.txt").write_text("spot\n")
    rng = np.random.default_rng(0)
    for number in range(10):
        x, y = (int(v) * 8 + 4 for v in rng.integers(1, SIDE // 8 - 1, 2))
        image = rng.integers(40, 90, (SIDE, SIDE, 3)).astype(np.uint8)
        image[y - SQUARE // 2 : y + SQUARE // 2, x - SQUARE // 2 : x + SQUARE // 2] = 250
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        box = " ".join(str(v / SIDE) for v in (x, y, SQUARE, SQUARE))
        (folder / "labels" / f"{number}.txt").write_text(f"0 {box}\n")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
async def supervisor(store: Store, tmp_path: Path) -> AsyncIterator[Supervisor]:
    draw(tmp_path / "data" / "squares")
    work = WorkSettings(data_dir=tmp_path / "data", allow_pickle=True)
    settings = JobSettings(work=work, give_way=False)
    async with Supervisor(store, JobRecords(store.database), settings) as running:
        yield running


async def done(supervisor: Supervisor, kind: Kind, request: JobRequest) -> dict[str, Any]:
    """Return a job's result; a failed one fails the test with its log."""
    job = await supervisor.submit(kind, request)
    job = await supervisor.finished(job.id, lambda _: None)

    def logs(of: Job) -> str:
        return "\n".join([supervisor.records.log(of.id), *map(logs, of.children)])

    assert job.state == "done", f"{job.error}\n{logs(supervisor.records.job(job.id))}"
    assert job.result is not None
    return job.result


@pytest.fixture
def spots(tmp_path: Path) -> Path:
    """Return the module's file."""
    why_not = can_make(Format.OPENVINO, "int8")
    if find_spec("torch") is None or why_not:
        missing(why_not or "torch isn't installed (make torch)")
    path = tmp_path / "spots.pt"
    subprocess.run([sys.executable, "-c", MODULE, path], check=True, timeout=120)
    return path


async def test_a_torch_module_is_converted_validated_measured_and_recommended(
    supervisor: Supervisor, store: Store, spots: Path
) -> None:
    store.models.add_checkpoint(spots, "spots", allow_pickle=True)

    request = PipelineRequest(
        model="spots",
        input_size_wh=(SIDE, SIDE),
        labels=["spot", "other"],
        engines=["openvino"],
        precisions=["int8"],
        dataset="dir:squares",
        seconds=0.2,
    )
    result = await done(supervisor, "pipeline", request)
    assert [(step["kind"], step["state"]) for step in result["steps"]] == [
        ("convert", "done"),  # the ONNX
        ("convert", "done"),
        ("validate", "done"),  # the source, against which losses are counted
        ("validate", "done"),
        ("benchmark", "done"),
    ]
    _, source, _ = store.models.model("spots").versions[0].artefacts
    assert (source.format, source.precision) == (Format.ONNX, "fp32")
    (cell,) = result["cells"]
    assert (cell["state"], cell["cell"]["precision"]) == ("done", "int8")
    assert cell["engine_ms"]["p95"] > 0
    assert cell["accuracy"]["map50"] == pytest.approx(1)
    assert result["recommendation"]["best"] is not None
    made = store.models.artefact(cell["artefact_id"])
    assert (made.format, made.precision, made.made_from_id) == (
        Format.OPENVINO, "int8", source.id,
    )  # fmt: skip
    assert store.measurements.of(made.id)
