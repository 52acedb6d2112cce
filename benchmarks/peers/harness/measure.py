"""One peer in one setting under all loads; what goes wrong ends up in the figures."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.report import LoadReport
from benchmarks.peers.harness.catalogue import Peer, Setting
from benchmarks.peers.harness.commands import (
    Conditions,
    first_request,
    in_process_environment,
    load_command,
    server_command,
)
from benchmarks.peers.harness.environment import Environment, PeerError
from benchmarks.peers.harness.loads import Load
from benchmarks.peers.harness.server import ROOT, Server

SPARE_S = 90.0  # beyond the load's own time: imports, models, draining


@dataclass(frozen=True, slots=True)
class Trial:
    """A peer in one of its settings."""

    peer: Peer
    setting: Setting
    environment: Environment
    conditions: Conditions
    log: Path  # what its server says


@dataclass(frozen=True, slots=True)
class Row:
    """One peer, setting and load."""

    peer: str
    setting: str
    load: str
    offered_fps: float
    goodput: float  # answers in time, a second
    answered: int
    in_time: int
    errors: int
    refused: int  # given up by the generator or dropped by the server, by design
    lost: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of the server, for each answer
    memory_mb: float
    failure: str = ""  # why there are no figures

    @property
    def key(self) -> tuple[str, str]:
        """Return what the peer's rows have in common."""
        return self.peer, self.setting


def failed(peer: Peer, setting: str, load: str, why: str) -> Row:
    """Return the row of what could not be measured."""
    return Row(peer.label, setting, load, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, why)


def figures(trial: Trial, load: Load, report: LoadReport, cpu_s: float, memory_mb: float) -> Row:
    """Return a report's row."""
    return Row(
        peer=trial.peer.label,
        setting=trial.setting.about,
        load=load.name,
        offered_fps=round(load.fps, 2),
        goodput=round(report.goodput, 2),
        answered=report.answered,
        in_time=report.in_time,
        errors=sum(report.errors.values()) + report.wrong_stream + report.wrong_seq,
        refused=sum(report.dropped.values()) + sum(report.refused.values()),
        lost=report.lost,
        p50_ms=round(report.age_ms.p50, 1),
        p99_ms=round(report.age_ms.p99, 1),
        cpu_ms=round(cpu_s / report.answered_ever * 1e3, 1) if report.answered_ever else 0.0,
        memory_mb=round(memory_mb),
    )


def measure(trial: Trial, loads: Sequence[Load]) -> Iterator[Row]:
    """Yield a row for each load; after a failure the server is started anew for the next."""
    left = list(loads)
    while left:
        try:
            if trial.peer.kind == "in process":
                yield _in_process(trial, left[0])
                left.pop(0)
                continue
            with _server(trial, {}) as server:
                _check(server, trial)
                while left:
                    yield _under_load(server, trial, left[0])
                    left.pop(0)
                    if not server.wait_until_idle():
                        break  # what is still queued would weigh on the next load
        except (PeerError, OSError, subprocess.SubprocessError, ValueError) as error:
            yield failed(trial.peer, trial.setting.about, left.pop(0).name, str(error))


def _server(trial: Trial, besides: Mapping[str, str]) -> Server:
    command, told = server_command(trial.peer, trial.setting, trial.environment, trial.conditions)
    return Server(command, {**told, **besides}, trial.conditions.server_core, trial.log)


def _check(server: Server, trial: Trial) -> None:
    """See that the server finds boxes in the first picture."""
    request = first_request(trial.peer, trial.conditions)
    body = server.wait_for_answer(trial.conditions.port, request)
    if b"class_id" not in body:
        said = body[:300].decode(errors="replace")
        raise PeerError(f"it found nothing in the first picture: {said}")


def _under_load(server: Server, trial: Trial, load: Load) -> Row:
    conditions = trial.conditions
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        out = Path(folder) / "load.json"
        server.hold()
        before_s = server.cpu_s()
        done = subprocess.run(
            load_command(trial.peer, trial.setting, load, conditions, out),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=conditions.seconds + conditions.warm_s + SPARE_S,
        )
        if not out.is_file():
            raise PeerError(f"the load generator failed: {done.stderr.strip()[-500:]}")
        report = LoadReport.from_json(out.read_text())
    if server.process and server.process.poll() is not None:
        raise PeerError(f"it ended under load; its log ends: {server.log_end()}")
    return figures(trial, load, report, server.cpu_s() - before_s, server.memory_mb())


def _in_process(trial: Trial, load: Load) -> Row:
    """Run a peer that makes its own load, from its start to its end."""
    conditions = trial.conditions
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        out = Path(folder) / "load.json"
        with _server(trial, in_process_environment(load, conditions, out)) as server:
            memory_mb = 0.0
            end_s = time.monotonic() + conditions.seconds + conditions.warm_s + SPARE_S
            while server.process is not None and server.process.poll() is None:
                if time.monotonic() > end_s:
                    raise PeerError(f"it did not end; its log ends: {server.log_end()}")
                memory_mb = max(memory_mb, server.memory_mb())
                time.sleep(0.5)
            if not out.is_file():
                raise PeerError(f"it gave no figures; its log ends: {server.log_end()}")
            report = LoadReport.from_json(out.read_text())
    return figures(trial, load, report, report.generator_cpu_s, memory_mb)
