"""From real traffic to a person: server, Prometheus with the committed rules, Alertmanager."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from sightline_backend.app import create_app
from sightline_backend.breaker import MOST_RESTARTS, Breaker
from sightline_backend.settings import Settings
from tests.backend.camera import connected
from tests.backend.running import serving
from tests.cli.running import free_port
from tests.fakes import encoded, noise
from tests.monitoring.channels import Everywhere, everywhere
from tests.monitoring.prometheus_server import PrometheusServer, prometheus
from tests.monitoring.receivers import Mail

FASTER = 60.0  # what takes a minute in earnest takes a second
REST_S = 15.0  # of the breaker; a minute in earnest
Labels = dict[str, str]
PICTURE = encoded(noise(320, 240))


async def until(condition: Callable[[], Awaitable[bool]], told: Callable[[], object]) -> None:
    for _ in range(600):
        if await condition():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited for a minute; there is {told()}")


async def arrived(told: Everywhere, title: str) -> None:
    """Wait until a message with this title is in the mail and in every other channel."""
    alertname = title.split()[1]
    status = "resolved" if title.startswith("RESOLVED") else "firing"

    async def by_every_way() -> bool:
        slack = [post.body["attachments"][0]["title"] for post in told.web.to("slack")]
        cards = [post.body["attachments"][0]["content"]["body"] for post in told.web.to("teams")]
        hooks = [post.body for post in told.web.to("webhook")]
        return (
            f"[Sightline] {title}" in subjects(told)
            and title in slack
            and title in [heading["text"] for heading, _ in cards]
            and (alertname, status) in [(b["groupLabels"]["alertname"], b["status"]) for b in hooks]
        )

    await until(by_every_way, lambda: subjects(told))


def subjects(told: Everywhere) -> list[str]:
    return [mail.subject for mail in told.mail.mails]


def mail_of(told: Everywhere, title: str) -> Mail:
    return next(mail for mail in told.mail.mails if mail.subject == f"[Sightline] {title}")


async def silenced(told: Everywhere, is_symptom: Callable[[Labels], bool]) -> None:
    """Wait until symptoms fire and every one of them is silenced."""
    symptoms: list[tuple[Labels, bool]] = []

    async def all_silent() -> bool:
        alerts = await asyncio.to_thread(told.manager.alerts)
        held = [(one["labels"], bool(one["status"]["inhibitedBy"])) for one in alerts]
        symptoms[:] = [one for one in held if is_symptom(one[0])]
        return bool(symptoms) and all(quiet for _, quiet in symptoms)

    await until(all_silent, lambda: symptoms)


async def traffic(address: str) -> None:
    """Send a frame after each end, as a camera does, whatever becomes of it; until cancelled."""
    async with connected(f"ws://{address}/ws/detect") as camera:
        seq = 0
        while True:
            seq += 1
            await camera.send(seq, PICTURE)
            await camera.recv()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def under_traffic(address: str) -> AsyncIterator[None]:
    sending = asyncio.create_task(traffic(address))
    try:
        yield
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


def workers() -> set[int]:
    """Return the engine's processes; one that ends meanwhile is none."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "sightline_backend.workers.child" in child.cmdline():
                found.add(child.pid)
    return found


async def kill_until_it_rests(http: httpx.AsyncClient) -> None:
    """Kill the engine's process as often as it comes back, until it is left alone."""
    killed = set[int]()

    async def back() -> bool:
        ready = (await http.get("/health/ready")).is_success
        return ready and bool(workers() - killed)

    for _ in range(MOST_RESTARTS + 1):
        await until(back, workers)
        (worker,) = workers() - killed
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)


def engine_symptom(labels: Labels) -> bool:
    return labels["part"] in ("live", "http") and labels["alertname"] != "EventLoopLag"


@contextmanager
def telling(folder: Path, address: str) -> Iterator[tuple[Everywhere, PrometheusServer]]:
    """Have a real Prometheus scrape `address` and tell a real Alertmanager with every channel."""
    with (
        everywhere(folder, group_wait="1s") as told,
        prometheus(
            folder / "prometheus",
            {"sightline": address},
            alertmanager=told.manager.address,
            faster=FASTER,
        ) as server,
    ):
        yield told, server


@pytest.mark.slow
async def test_an_engine_that_dies_again_and_again_is_told_and_its_symptoms_are_silenced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline_backend.lane.Breaker", partial(Breaker, rest_s=REST_S))
    settings = Settings(model="sightline-webcam", models_dir=tmp_path, port=0, deadline_ms=5_000)
    async with serving(create_app(settings), settings) as (_, port):
        address = f"127.0.0.1:{port}"
        with telling(tmp_path, address) as (told, server):
            async with (
                httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http,
                under_traffic(address),
            ):
                await asyncio.to_thread(server.wait_for, "rate(images_processed_total[5s]) > 1")
                await kill_until_it_rests(http)
                await arrived(told, f"PAGE: EngineNotReady on {address}")
                await silenced(told, engine_symptom)
                await arrived(told, f"RESOLVED: EngineNotReady on {address}")
    page = mail_of(told, f"PAGE: EngineNotReady on {address}")
    assert f"engine of {address} has taken no frames" in page.body("plain")
    assert "docs/runbooks/EngineNotReady.md" in page.body("html")


async def started(folder: Path, port: int) -> asyncio.subprocess.Process:
    """Start `python -m sightline_backend` on a port and wait until it takes frames."""
    env = {"PATH": os.defpath, "SIGHTLINE_PORT": str(port), "SIGHTLINE_MODELS_DIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sightline_backend", env=env, stderr=asyncio.subprocess.DEVNULL
    )  # fmt: skip

    async def ready() -> bool:
        async with httpx.AsyncClient(trust_env=False) as http:
            with suppress(httpx.TransportError):
                return (await http.get(f"http://127.0.0.1:{port}/health/ready")).is_success
        return False

    await until(ready, lambda: process)
    return process


@pytest.mark.slow
async def test_a_server_that_is_gone_is_told_by_one_message_and_its_return_by_another(
    tmp_path: Path,
) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    process = await started(tmp_path, port)
    try:
        with telling(tmp_path, address) as (told, server):
            async with under_traffic(address):
                await asyncio.to_thread(server.wait_for, "rate(images_processed_total[5s]) > 1")
            process.kill()
            await process.wait()
            down = f"PAGE: ScrapeDown on {address}"
            await arrived(told, down)
            # An alert that was firing when the server went, from what was last known of it.
            hot = {"alertname": "GpuHot", "severity": "ticket", "part": "gpu"}
            here = {"job": "sightline", "instance": address}
            await asyncio.to_thread(told.manager.fire, hot | here)
            await silenced(told, lambda labels: labels["part"] != "monitoring")
            assert [one for one in subjects(told) if "PAGE" in one] == [f"[Sightline] {down}"]
            process = await started(tmp_path, port)
            await arrived(told, f"RESOLVED: ScrapeDown on {address}")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert f"{address} has not answered Prometheus" in mail_of(told, down).body("plain")
