"""A tree of jobs for real: the store, files and processes are a user's, the model is tiny."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import PipelineRequest
from sightline_backend.jobs.supervisor import JobSettings, Supervisor
from sightline_backend.jobs.work.context import WorkSettings
from sightline_backend.store.store import Store, open_store
from sightline_engines.convert.convert import can_make
from sightline_engines.types import Format
from tests.conftest import missing
from tests.engines.tiny import constant_model

RIGHT, WRONG = [16, 16, 48, 48, 0.9, 0], [0, 0, 8, 8, 0.9, 0]


def always(path: Path, box: list[float]) -> Path:
    """Write a model that sees one box in every picture."""
    names = {"names": "{0: 'person'}"}
    constant_model(path, np.array([box], np.float32), batch="batch", metadata=names)
    path.with_suffix(".json").write_text('{"family": "end2end", "labels": ["person"]}')
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a store with a model that is always right, and an FP16 of it that never is."""
    with closing(open_store(tmp_path / "store")) as opened:
        opened.models.add(always(tmp_path / "tiny.onnx", RIGHT), "tiny")
        source = opened.models.model("tiny").versions[0].artefacts[0]
        assert source.spec is not None
        worse = always(tmp_path / "worse.onnx", WRONG)
        spec = replace(source.spec, path=worse, precision="fp16", sha256="")
        opened.models.add_artefact(source, spec, made_from_id=source.id, origin="test")
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with a data set of three pictures."""
    folder = tmp_path / "data" / "street"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.txt").write_text("person\n")
    for name in "abc":
        cv2.imwrite(str(folder / "images" / f"{name}.png"), np.full((64, 64, 3), 90, np.uint8))
        (folder / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return folder.parent


@asynccontextmanager
async def supervising(store: Store, data: Path | None = None) -> AsyncIterator[Supervisor]:
    settings = JobSettings(work=WorkSettings(data_dir=data), give_way=False)
    async with Supervisor(store, JobRecords(store.database), settings) as supervisor:
        yield supervisor


async def until(supervisor: Supervisor, tree_id: int, holds: Callable[[Job], bool]) -> None:
    """Wait until something holds of a job of the tree."""
    async with aclosing(supervisor.subscribe(tree_id)) as events:
        async for job in events:
            if holds(job):
                return
    raise AssertionError(f"the tree ended before: {supervisor.records.job(tree_id)}")


def nothing_is_left(store: Store) -> bool:
    """Tell whether neither a workspace nor a process is there."""
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    folders = list(store.jobs_folder.glob("[0-9]*"))
    return not folders and not any("jobs.child" in command for command in commands)


async def test_a_stopped_tree_goes_on_with_what_it_has_and_recommends(
    store: Store, data: Path
) -> None:
    if why_not := can_make(Format.OPENVINO, "fp16"):
        missing(why_not)
    request = PipelineRequest(
        model="tiny",
        engines=["onnxruntime", "openvino"],
        precisions=["fp16"],
        dataset="dir:street",
        seconds=0.2,
    )
    async with supervising(store, data) as supervisor:
        tree = await supervisor.submit("pipeline", request)
        await until(
            supervisor, tree.id, lambda job: (job.kind, job.state) == ("validate", "running")
        )
    assert nothing_is_left(store)
    stopped = JobRecords(store.database).job(tree.id)
    assert stopped.state == "interrupted"
    assert [(c.kind, c.state) for c in stopped.children] == [
        ("convert", "done"),
        ("validate", "interrupted"),
    ]

    async with supervising(store, data) as supervisor:
        await supervisor.restart(tree.id)
        ended = await supervisor.finished(tree.id, lambda _: None)
    assert nothing_is_left(store)
    assert ended.state == "done", ended.error
    assert ended.children[0] == stopped.children[0], "it was converted twice"
    assert ended.children[1].id == stopped.children[1].id
    assert ended.result is not None
    steps = [(step["kind"], step["state"]) for step in ended.result["steps"]]
    assert steps == [
        ("convert", "skipped"),  # the FP16 that is there
        ("convert", "done"),
        ("validate", "done"),  # the source
        ("validate", "done"),
        ("validate", "done"),
        ("benchmark", "skipped"),  # it loses too much to be timed
        ("benchmark", "done"),
    ]
    assert "loses 1.000 mAP50-95" in ended.result["steps"][5]["why"]
    (cell,) = ended.result["cells"]
    assert (cell["cell"]["engine"], cell["cell"]["precision"]) == ("openvino", "fp16")
    assert cell["accuracy"]["map50_95"] == pytest.approx(1)
    assert ended.result["recommendation"]["best"]["engine"] == "openvino"
    made = store.models.artefact(cell["artefact_id"])
    assert (made.format, made.path.exists()) == (Format.OPENVINO, True)


async def test_a_tree_is_cancelled_within_seconds_and_leaves_nothing(store: Store) -> None:
    request = PipelineRequest(
        model="tiny", engines=["onnxruntime"], precisions=["fp32"], seconds=600
    )
    async with supervising(store) as supervisor:
        tree = await supervisor.submit("pipeline", request)
        await until(
            supervisor,
            tree.id,
            lambda job: (job.kind, job.state) == ("benchmark", "running") and job.doing != "",
        )
        assert not nothing_is_left(store)
        began = time.monotonic()
        ended = await supervisor.cancel(tree.id)
        assert time.monotonic() - began < 15
        assert [ended.state, *(child.state for child in ended.children)] == ["cancelled"] * 2
        assert await asyncio.to_thread(nothing_is_left, store)
