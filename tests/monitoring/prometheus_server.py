"""The real Prometheus, with the committed configuration, on a free port."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cli.running import free_port
from tests.conftest import ROOT, missing

CONFIG = ROOT / "monitoring" / "prometheus" / "prometheus.yml"
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
WINDOW = re.compile(r"(?:(?<=\[)|(?<=\boffset ))(\d+)(ms|s|m|h|d)\b")


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer, with its newest value."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class PrometheusServer:
    """A running Prometheus."""

    url: str

    def query(self, promql: str, at_s: float | None = None) -> list[Sample]:
        """Evaluate an expression now, or at a Unix time; a scalar is one sample without labels."""
        moment = {} if at_s is None else {"time": at_s}
        data = self._get("/api/v1/query", query=promql, **moment)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    def query_range(
        self, promql: str, start_s: float, end_s: float, step_s: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Evaluate an expression over a span of Unix times: labels and (time, value) pairs."""
        span = {"start": start_s, "end": end_s, "step": step_s}
        result = self._get("/api/v1/query_range", query=promql, **span)["result"]
        return [
            (one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in result
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing."""
        alerts: list[dict[str, Any]] = self._get("/api/v1/alerts")["alerts"]
        return alerts

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule of every group, with its health and last error."""
        groups = self._get("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait_for(self, promql: str, timeout_s: float = 30) -> list[Sample]:
        """Return the first answer to an expression that isn't empty."""
        end = time.monotonic() + timeout_s
        while not (samples := self.query(promql)):
            assert time.monotonic() < end, f"Prometheus had no data for {timeout_s:g} s: {promql}"
            time.sleep(0.1)
        return samples

    def _get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(self.url + path, params=params, timeout=30, trust_env=False)
        body = answer.json()
        assert body["status"] == "success", f"{params}: {body.get('error')}"
        return body["data"]


@contextmanager
def prometheus(
    folder: Path,
    targets: Mapping[str, str],
    *,
    every_s: float = 0.5,
    alertmanager: str | None = None,
    rules: bool = True,
    faster: float = 1.0,
    port: int | None = None,
) -> Iterator[PrometheusServer]:
    """Run Prometheus on a copy of the committed configuration in `folder`.

    Args:
        folder: holds the configuration, the data and the log.
        targets: job name to host:port; the other jobs are left out.
        every_s: between two scrapes, and between two evaluations of the rules.
        alertmanager: host:port of the one that is told of alerts.
        rules: whether the committed rules are loaded.
        faster: divides every `for:`, window and offset of the rules, so that what takes an hour
            in earnest is seen in a test. Thresholds and names stay.
        port: its own, where it is to read itself; else a free one.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        missing("no prometheus on PATH; Debian's package prometheus has it")
        raise AssertionError
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_configuration(targets, every_s, alertmanager, rules)))
    if rules:
        _copy_rules(folder / "rules", every_s, faster)
    port = port or free_port()
    command = [
        binary,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            server = PrometheusServer(f"http://127.0.0.1:{port}")
            _wait_until_ready(server, process, folder / "prometheus.log")
            yield server
        finally:
            process.kill()  # its data is thrown away, so it need not be put in order
            process.wait()


def rule_files() -> list[Path]:
    """Return the committed files of rules."""
    return sorted((CONFIG.parent / "rules").glob("*.yml"))


def _configuration(
    targets: Mapping[str, str], every_s: float, alertmanager: str | None, rules: bool
) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    every = f"{every_s * 1000:.0f}ms"
    config["global"].update(scrape_interval=every, scrape_timeout=every, evaluation_interval=every)
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert targets.keys() <= jobs.keys(), f"prometheus.yml has the jobs {sorted(jobs)}"
    for name, address in targets.items():
        for key in ("scrape_interval", "scrape_timeout", "dns_sd_configs"):
            jobs[name].pop(key, None)
        jobs[name]["static_configs"] = [{"targets": [address]}]
    config["scrape_configs"] = [jobs[name] for name in targets]
    managers = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    config["alerting"]["alertmanagers"] = managers
    if not rules:
        del config["rule_files"]
    return config


def _copy_rules(folder: Path, every_s: float, faster: float) -> None:
    folder.mkdir(exist_ok=True)
    for file in rule_files():
        book = yaml.safe_load(file.read_text())
        for group in book["groups"]:
            group["interval"] = f"{every_s * 1000:.0f}ms"
            for rule in group["rules"]:
                rule["expr"] = WINDOW.sub(lambda m: _shorter(m[0], faster), rule["expr"])
                for key in ("for", "keep_firing_for"):
                    if key in rule:
                        rule[key] = _shorter(rule[key], faster)
        (folder / file.name).write_text(yaml.safe_dump(book))


def _shorter(duration: str, faster: float) -> str:
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", duration)
    assert found, f"{duration}: write a duration as one number and one unit"
    return f"{float(found[1]) * UNITS_S[found[2]] * 1000 / faster:.0f}ms"


def _wait_until_ready(
    server: PrometheusServer, process: subprocess.Popen[bytes], log: Path
) -> None:
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, f"Prometheus ended: {log.read_text()}"
        assert time.monotonic() < end, f"Prometheus was not ready in a minute: {log.read_text()}"
        try:
            ready = httpx.get(f"{server.url}/-/ready", timeout=5, trust_env=False)
        except httpx.TransportError:
            pass
        else:
            if ready.status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
