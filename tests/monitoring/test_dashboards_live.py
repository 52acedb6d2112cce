"""Every query of every dashboard, asked of a real Prometheus that reads the real server."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from sightline_engines.triton.server import TritonServer
from sightline_monitoring import nvml
from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.lifecycle import Lifecycle
from sightline_monitoring.memory_limit import MemoryLimitCollector
from tests.browser.processes import backend
from tests.cli.running import free_port
from tests.monitoring import lifecycle
from tests.monitoring.grafana import Question, View, dashboards, notes, panels, questions
from tests.monitoring.prometheus_server import PrometheusServer, Sample, prometheus
from tests.monitoring.test_gpu import FULL, Driver, card
from tests.monitoring.traffic import traffic
from tests.monitoring.triton_life import at_triton
from tests.triton.environment import TritonEnvironment

SCRAPE_S = 0.5
PHASE_S = 9.0
BOARDS = dashboards()
# Queries that rightly return nothing on a machine in order, each with its reason. None so far:
# the test has a GPU that is too hot, so alerts fire, and frames that failed.
EMPTY: dict[str, str] = {}
LIMITED = {"memory.max": "4000", "memory.current": "2000", "memory.stat": "inactive_file 500"}
# What was measured of a model and of what it replaced: on a real one that takes a minute.
MEASURED = ({lifecycle.MODEL: 0.41}, {lifecycle.MODEL: 0.004}, {lifecycle.MODEL: 0.9})
TRITON_S = 4.0
# What a Triton with a GPU tells of it.
NV_GPU = {
    "nv_gpu_utilization": 0.8,
    "nv_gpu_memory_used_bytes": 4e9,
    "nv_gpu_memory_total_bytes": 24e9,
    "nv_gpu_power_usage": 120.0,
    "nv_gpu_power_limit": 300.0,
}
HOT = {"nvmlDeviceGetTemperature": 90}  # FULL slows down at 92


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus with a past: traffic without a GPU, then traffic with one."""

    prometheus: PrometheusServer
    server: str
    start_s: float
    gpu_s: float
    end_s: float
    answered: int

    @property
    def view(self) -> View:
        """Look at all of it."""
        return View(self.end_s - self.start_s, SCRAPE_S)

    def ask(self, question: Question) -> list[Sample]:
        """Return the series of an answer, each with its newest value that is a number."""
        if question.instant:
            # when all had been seen: the tests after that take their time
            found = self.prometheus.query(question.expr, self.end_s)
            return [one for one in found if not math.isnan(one.value)]
        series = self.prometheus.query_range(
            question.expr, self.start_s, self.end_s, question.step_s
        )
        numbers = [
            (labels, [value for _, value in points if not math.isnan(value)])
            for labels, points in series
        ]
        return [Sample(labels, values[-1]) for labels, values in numbers if values]

    def panel(self, board: str, title: str) -> list[list[Sample]]:
        """Return the answer to each query of a panel."""
        asked = questions(BOARDS[board], self.view)
        return [self.ask(one) for one in asked if one.panel == title]


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, triton_environment: TritonEnvironment
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    port, gpu_port, driver = free_port(), free_port(), Driver([card(40, {**FULL, **HOT})])
    repository = folder / "repository"
    repository.mkdir()
    with ExitStack() as stack:
        options = triton_environment.options(repository)
        triton = stack.enter_context(TritonServer(options, folder / "triton.log"))
        server = backend(
            port,
            folder / "server.log",
            models_dir=str(folder),
            max_streams="2",
            triton_grpc_url=triton.grpc_url,
            triton_metrics_url=triton.metrics_url,
            triton_repository=str(repository),
        )
        first = stack.enter_context(prometheus(folder / "first", {}, rules=False))
        stack.callback(server.stop)
        server.start()
        assert server.process is not None
        gpu = CollectorRegistry()
        exporter, _ = start_http_server(gpu_port, "127.0.0.1", gpu)
        stack.callback(exporter.server_close)
        stack.callback(exporter.shutdown)
        targets = {
            "sightline": f"127.0.0.1:{port}",
            "node": f"127.0.0.1:{gpu_port}",
            "triton": f"127.0.0.1:{triton.metrics_port}",
            "prometheus": first.url.removeprefix("http://"),
        }
        start_s = time.time()
        second = stack.enter_context(
            prometheus(folder / "second", targets, every_s=SCRAPE_S, faster=100)
        )
        second.wait_for("sightline_build_info")
        answered = asyncio.run(_first_phase(port, server.process.pid))
        answered += asyncio.run(at_triton(port, TRITON_S))
        second.wait_for("sightline_engine_ready == 1 and sightline_streams_active == 0")
        gpu_s = time.time()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(nvml, "pynvml", driver)
        gpu.register(GpuCollector())
        gpu.register(MemoryLimitCollector(_limited(folder / "cgroup")))
        measured = Lifecycle(gpu)
        measured.watch_store(lambda: True)
        measured.promoted(*MEASURED)
        for name, value in NV_GPU.items():
            Gauge(name, "Of a GPU.", ["gpu_uuid"], registry=gpu).labels("GPU-a").set(value)
        answered += asyncio.run(traffic(port, server.process.pid, PHASE_S))
        second.wait_for("sightline_engine_ready == 1")
        second.wait_for('ALERTS{alertstate="firing",alertname="GpuHot"}')
        yield Watched(second, targets["sightline"], start_s, gpu_s, time.time(), answered)


async def _first_phase(port: int, server_pid: int) -> int:
    """Have jobs beside traffic, and then what they made promoted; return what was answered."""
    answered, artefact = await asyncio.gather(
        traffic(port, server_pid, PHASE_S), lifecycle.converted(port)
    )
    return answered + await lifecycle.promoted(port, artefact)


def _limited(folder: Path) -> Path:
    """Write what the control group of a container with a limit says."""
    folder.mkdir()
    for name, text in LIMITED.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("uid", BOARDS)
def test_every_query_of_every_panel_returns_data_that_its_legend_can_name(
    watched: Watched, uid: str
) -> None:
    blank, nameless = [], []
    for question in questions(BOARDS[uid], watched.view):
        answer = watched.ask(question)
        if not answer and question.panel not in EMPTY:
            blank.append(f"{question.panel}: {question.expr}")
        labels = re.findall(r"\{\{(\w+)\}\}", question.legend)
        if any(label not in one.labels for one in answer for label in labels):
            nameless.append(f"{question.panel}: {question.legend}")
    assert not blank
    assert not nameless


@pytest.mark.parametrize("uid", BOARDS)
def test_every_annotation_marks_something(watched: Watched, uid: str) -> None:
    for question in notes(BOARDS[uid], watched.view):
        answer = watched.ask(question)
        assert answer, question
        for label in re.findall(r"\{\{(\w+)\}\}", question.legend):
            assert all(label in one.labels for one in answer), question


def test_a_model_is_marked_once_on_each_engine_when_it_is_first_seen(watched: Watched) -> None:
    (question,) = [
        one for one in notes(BOARDS["sightline-live"], watched.view) if one.panel == "Model changes"
    ]
    found = watched.prometheus.query_range(
        question.expr, watched.start_s, watched.end_s, question.step_s
    )
    engines = [labels["engine"] for labels, _ in found]
    assert {labels["model"] for labels, _ in found} == {lifecycle.MODEL}
    # its own, Triton's, and openvino's where that isn't its own and a scrape met it
    assert set(engines) - {"openvino"} in ({"triton"}, {"triton", "onnxruntime"})
    assert len(set(engines)) == len(engines) >= 2
    assert [len(points) for _, points in found] == [1] * len(found)


def test_the_servers_to_choose_from_are_those_that_were_read(watched: Watched) -> None:
    for board in BOARDS.values():
        (variable,) = [one for one in board["templating"]["list"] if one["type"] == "query"]
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert found
        url = f"{watched.prometheus.url}/api/v1/label/{found[2]}/values"
        answer: dict[str, Any] = httpx.get(
            url, params={"match[]": found[1]}, trust_env=False
        ).json()
        assert answer["data"] == [watched.server]


def test_the_gpu_figure_shows_how_busy_the_engines_are_where_there_is_no_gpu(
    watched: Watched,
) -> None:
    asked = questions(BOARDS["sightline-live"], watched.view)
    gpu, engines = [one.expr for one in asked if one.panel == "GPU use"]

    def at(expr: str, moment_s: float) -> bool:
        return bool(watched.prometheus.query_range(expr, moment_s, moment_s, 1))

    assert (at(gpu, watched.gpu_s - 2), at(engines, watched.gpu_s - 2)) == (False, True)
    assert (at(gpu, watched.end_s), at(engines, watched.end_s)) == (True, False)


def test_the_figures_are_those_of_the_traffic(watched: Watched) -> None:
    ((ready,),) = watched.panel("sightline-models", "Takes frames")
    assert ready.value == 1
    ((restarts,),) = watched.panel("sightline-models", "Restarts")
    assert restarts.value == pytest.approx(2, abs=0.5)  # one in each phase
    ends = {one.labels["result"] for one in watched.panel("sightline-live", "Frames by end")[0]}
    assert ends == {"answered", "dropped", "refused", "failed"}
    ((kept,),) = watched.panel("sightline-objectives", "Live frames in time, goal 99 %")
    assert 0 < kept.value <= 1
    ((engine,),) = watched.panel("sightline-objectives", "Engine ready, goal 99.9 %")
    assert 0 < engine.value <= 1  # a restart may come and go between two scrapes
    statuses = {
        one.labels["status"]
        for one in watched.panel("sightline-objectives", "HTTP answers by status")[0]
    }
    assert {"200", "404", "415"} <= statuses


def test_tritons_figures_are_those_of_what_was_asked_there(watched: Watched) -> None:
    ((answers,),) = watched.panel("sightline-triton", "Triton answers")
    assert answers.value == 1
    (ready,), (unavailable,) = watched.panel("sightline-triton", "Deployed names")
    assert (ready.value, unavailable.value) == (2, 0)
    ((fallback,),) = watched.panel("sightline-triton", "Answered by the fallback")
    assert fallback.value == 0
    (asked,) = watched.panel("sightline-triton", "Requests by model")
    names = {one.labels["model"] for one in asked}
    stable = {lifecycle.MODEL, f"{lifecycle.MODEL}_tensors"}
    assert stable < names
    (p99,) = watched.panel("sightline-triton", "p99 of a request")
    assert lifecycle.MODEL in {one.labels["model"] for one in p99}
    assert all(0 < one.value < 60 for one in p99)
    (batch,) = watched.panel("sightline-triton", "Batch size as executed")
    assert all(one.value >= 1 for one in batch)


def test_the_first_figure_adds_up_to_what_the_clients_were_answered(watched: Watched) -> None:
    asked = questions(BOARDS["sightline-live"], watched.view)
    (question,) = [one for one in asked if one.panel == "Answered"]
    ((_, points),) = watched.prometheus.query_range(
        question.expr, watched.start_s, watched.end_s, SCRAPE_S
    )
    assert sum(fps for _, fps in points) * SCRAPE_S == pytest.approx(watched.answered, rel=0.15)


def test_what_fires_is_listed_without_the_dead_mans_switch(watched: Watched) -> None:
    (firing,) = watched.panel("sightline-objectives", "What is firing")
    names = {one.labels["alertname"] for one in firing}
    assert "GpuHot" in names
    assert "Watchdog" not in names
    for one in firing:
        assert one.labels["severity"] in {"page", "ticket"}
        assert watched.start_s <= one.value / 1000 <= watched.end_s


def test_the_table_of_models_has_its_columns(watched: Watched) -> None:
    ((model,),) = watched.panel("sightline-models", "Models in memory")
    (panel,) = [
        one for one in panels(BOARDS["sightline-models"]) if one["title"] == "Models in memory"
    ]
    (order,) = panel["transformations"]
    assert set(order["options"]["renameByName"]) == set(model.labels)
