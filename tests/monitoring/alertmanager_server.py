"""The real Alertmanager, on a configuration made from settings, on a free port."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from sightline_monitoring.alertmanager.configuration import rendered
from sightline_monitoring.alertmanager.settings import AlertSettings
from tests.cli.running import free_port
from tests.conftest import missing


@dataclass(frozen=True, slots=True)
class AlertmanagerServer:
    """A running Alertmanager."""

    url: str
    config: Path
    log: Path

    @property
    def address(self) -> str:
        """Where Prometheus reaches it, host:port."""
        return self.url.removeprefix("http://")

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts it holds, with whether one inhibits them."""
        alerts: list[dict[str, Any]] = self._get("/api/v2/alerts")
        return alerts

    def status(self) -> str:
        """Return what it says of itself, its configuration included, as text."""
        answer = httpx.get(f"{self.url}/api/v2/status", timeout=30, trust_env=False)
        return answer.raise_for_status().text

    def fire(self, *alerts: Mapping[str, str]) -> None:
        """Post alerts by their labels, as Prometheus does; posting them again is no news."""
        self._post([_alert(labels) for labels in alerts])

    def resolve(self, *alerts: Mapping[str, str]) -> None:
        """Post that alerts are over."""
        now = datetime.now(UTC).isoformat()
        self._post([_alert(labels) | {"endsAt": now} for labels in alerts])

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        url = f"{self.url}/api/v2/alerts"
        httpx.post(url, json=alerts, timeout=30, trust_env=False).raise_for_status()

    def _get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=30, trust_env=False).raise_for_status().json()


@contextmanager
def alertmanager(folder: Path, settings: AlertSettings) -> Iterator[AlertmanagerServer]:
    """Run Alertmanager on the configuration of these settings; `folder` holds all it writes."""
    folder.mkdir(parents=True, exist_ok=True)
    config, log = folder / "alertmanager.yml", folder / "alertmanager.log"
    config.write_text(rendered(settings))
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        binary("prometheus-alertmanager", "alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
        "--log.level=debug",
    ]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, cwd=folder
        )
        try:
            _wait_until_ready(url, process, log)
            yield AlertmanagerServer(url, config, log)
        finally:
            process.kill()  # its data is thrown away
            process.wait()


def _alert(labels: Mapping[str, str]) -> dict[str, Any]:
    name = labels["alertname"]
    annotations = {
        "summary": f"{name}: 312 of 1,000 frames > 500 ms & 4_2 <late>",
        "description": "More than the objective allows.",
        "runbook_url": f"docs/runbooks/{name}.md",
    }
    return {"labels": labels, "annotations": annotations}


def binary(*names: str) -> str:
    """Return the first of these programs that is on PATH, 0.28 or later."""
    for name in names:
        found = shutil.which(name)
        if found is not None and _version(found) >= (0, 28):
            return found
    missing(
        f"no {names[0]} 0.28 or later on PATH: Debian 13's package prometheus-alertmanager, or "
        "the release from prometheus.io"
    )
    raise AssertionError


def _version(program: str) -> tuple[int, ...]:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", told.stdout + told.stderr)
    assert found, told.stdout
    return tuple(map(int, found.groups()))


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, f"Alertmanager ended: {log.read_text()}"
        assert time.monotonic() < end, f"Alertmanager was not ready in a minute: {log.read_text()}"
        try:
            if httpx.get(f"{url}/-/ready", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
