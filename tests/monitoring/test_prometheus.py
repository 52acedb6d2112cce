"""The real Prometheus with the committed rules, on the real server under real traffic.

The rules run thirty times as fast (`faster` of prometheus_server.py), so five minutes are ten
seconds; their thresholds and names are the committed ones. One server has them all: it is in
health first, and what makes it ill comes after.
"""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.backend.camera import connected
from tests.browser.processes import Program, backend
from tests.cli.running import free_port
from tests.fakes import encoded, noise
from tests.monitoring.prometheus_server import PrometheusServer, prometheus, rule_files
from tests.monitoring.test_rules import RUNBOOKS, rules

FASTER = 30.0
PICTURE = encoded(noise(320, 240))
# What a machine that runs tests may rightly be short of, with no fault of the server's.
OF_THE_MACHINE = {"EventLoopLag", "HostMemoryLow", "HostDiskNearlyFull"}
DEADLINE_MS = 5_000  # so that no frame is late because the machine is busy


@dataclass(slots=True)
class Camera:
    """What the traffic's camera sends: the age of its frames."""

    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class Watched:
    """A server and the Prometheus that reads it."""

    server: Program
    address: str
    prometheus: PrometheusServer
    camera: Camera

    def worker(self) -> psutil.Process | None:
        """Return the engine's process, if there is one now."""
        assert self.server.process is not None
        for child in psutil.Process(self.server.process.pid).children():
            if "sightline_backend.workers.child" in child.cmdline():
                return child
        return None

    def firing(self, alertname: str) -> dict[str, Any]:
        """Wait until an alert fires, and return it."""
        self.prometheus.wait_for(f'ALERTS{{alertname="{alertname}",alertstate="firing"}}', 60)
        firing = (a for a in self.prometheus.alerts() if a["state"] == "firing")
        return next(alert for alert in firing if alert["labels"]["alertname"] == alertname)


@contextmanager
def traffic(address: str) -> Iterator[Camera]:
    """Send frames of a camera, and pictures, for the length of a block."""
    done = threading.Event()
    sent = Camera()

    async def stream() -> None:
        async with connected(f"ws://{address}/ws/detect") as camera:
            seq = 0
            while not done.is_set():
                seq += 1
                await camera.send(seq, PICTURE, age_ms=sent.age_ms)
                await camera.recv()
                await asyncio.sleep(0.03)

    async def upload() -> None:
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
            while not done.is_set():
                await http.post("/detect", files={"file": PICTURE}, timeout=30)
                await asyncio.sleep(0.3)

    async def both() -> None:
        await asyncio.gather(stream(), upload())

    thread = threading.Thread(target=asyncio.run, args=(both(),))
    thread.start()
    try:
        yield sent
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Return a server that has had some seconds of traffic, and goes on having it."""
    folder = tmp_path_factory.mktemp("watched")
    port, own = free_port(), free_port()
    address = f"127.0.0.1:{port}"
    log = folder / "server.log"
    settings = {"models_dir": str(folder), "deadline_ms": str(DEADLINE_MS), "engine": "onnxruntime"}
    server = backend(port, log, **settings)
    # Its own metrics are what the alerts on rules and notifications are made of.
    targets = {"sightline": address, "prometheus": f"127.0.0.1:{own}"}
    try:
        server.start()
        with (
            prometheus(folder / "prometheus", targets, faster=FASTER, port=own) as one,
            traffic(address) as camera,
        ):
            one.wait_for('up{job="sightline"} == 1')
            time.sleep(360 / FASTER)  # more than the five minutes that most rules look back
            yield Watched(server, address, one, camera)
    finally:
        server.stop()


def test_the_server_is_scraped(watched: Watched) -> None:
    (up,) = watched.prometheus.query('up{job="sightline"}')
    assert up.value == 1
    assert up.labels["instance"] == watched.address
    (fps,) = watched.prometheus.query("rate(images_processed_total[5s])")
    assert fps.value > 0


def test_every_rule_evaluates(watched: Watched) -> None:
    evaluated = watched.prometheus.rules()
    assert len(evaluated) == len(rules("record")) + len(rules("alert"))
    assert [rule for rule in evaluated if rule["health"] != "ok" or rule.get("lastError")] == []


def test_every_figure_that_has_traffic_is_recorded(watched: Watched) -> None:
    recorded = {rule["record"] for rule in rules("record") if "triton" not in rule["record"]}
    there = watched.prometheus.query('{__name__=~"instance.*:.*"}')
    assert recorded - {sample.labels["__name__"] for sample in there} == set()
    assert [sample for sample in there if math.isnan(sample.value)] == []


def test_no_alert_but_the_watchdog_goes_off_in_health(watched: Watched) -> None:
    alerts = watched.prometheus.alerts()
    found = {alert["labels"]["alertname"] for alert in alerts} - OF_THE_MACHINE
    assert found == {"Watchdog"}, alerts


def test_prometheus_understands_every_query_of_the_runbooks(watched: Watched) -> None:
    text = "\n".join(page.read_text() for page in sorted(RUNBOOKS.glob("*.md")))
    blocks = re.findall(r"^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    queries = [line for block in blocks for line in block.splitlines()]
    assert len(queries) > 50
    for query in queries:
        watched.prometheus.query(query)


def test_frames_that_are_late_burn_the_budget_and_stop_burning_it(watched: Watched) -> None:
    """They come with nearly all of their time gone, so none can be answered before it is."""
    watched.camera.age_ms = DEADLINE_MS - 1
    try:
        alert = watched.firing("FramesLateFastBurn")
    finally:
        watched.camera.age_ms = 0
    assert alert["labels"]["severity"] == "page"
    assert watched.address in alert["annotations"]["summary"]
    fast = 'ALERTS{alertname="FramesLateFastBurn",alertstate="firing",window="1h"}'
    watched.prometheus.wait_for(f"absent({fast})", 60)


def test_an_engine_that_is_killed_again_and_again_is_told(watched: Watched) -> None:
    for kills in range(1, 4):
        watched.prometheus.wait_for(
            "sightline_engine_ready == 1 and on (instance) sightline_engines_running > 0"
        )
        worker = watched.worker()
        assert worker is not None
        worker.kill()
        watched.prometheus.wait_for(
            f'sightline_engine_restarts_total{{reason="crashed"}} == {kills}'
        )
    alert = watched.firing("EngineRestarts")
    assert alert["labels"]["reason"] == "crashed"
    assert alert["labels"]["severity"] == "ticket"
    assert watched.address in alert["annotations"]["summary"]


def test_a_server_that_was_never_there_is_a_ticket(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with prometheus(tmp_path, {"sightline": address}, faster=90) as one:
        firing = f'ALERTS{{alertstate="firing",instance="{address}"}}'
        one.wait_for(firing)
        (alert,) = [a for a in one.alerts() if a["labels"].get("instance") == address]
    assert alert["labels"]["alertname"] == "ServerNotStarted"
    assert alert["labels"]["severity"] == "ticket"
    assert alert["annotations"]["summary"].startswith(address)


def test_the_fixture_shortens_windows_and_nothing_else(tmp_path: Path) -> None:
    with prometheus(tmp_path, {}, faster=60) as one:
        (late,) = [
            r for r in one.rules() if r["name"] == "instance:sightline_frames_late:ratio_rate5m"
        ]
        alert = next(r for r in one.rules() if r["name"] == "EngineNotReady")
    assert "[5s]" in late["query"]
    assert alert["duration"] == 2
    assert all("[5s]" not in file.read_text() for file in rule_files())
