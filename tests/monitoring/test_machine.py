"""What the machine and the engines' processes use, against what the system says itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sightline_monitoring.engine_processes import EngineProcessCollector
from sightline_monitoring.guarded import Guarded
from sightline_monitoring.host import CpuShare, HostCollector
from sightline_monitoring.memory_limit import MemoryLimitCollector

Times = namedtuple("Times", "user system idle iowait")
BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\ninput()"


def told(collector: Collector) -> dict[str, float]:
    """Return what a scrape yields, by name and label values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
        ((1, 1, 1, 1), (1, 1, 3, 1), 0.0),
        ((1, 1, 1, 1), (2, 2, 1, 1), 1.0),
        ((0, 0, 0, 0), (1, 0, 2, 1), 0.25),
        ((5, 0, 5, 0), (4, 0, 6, 0), 0.0),
    ],
    ids=["no time", "idle", "busy", "waiting for a disk is idle", "a clock that goes back"],
)
def test_the_share_is_of_the_time_between_two_readings(
    before: tuple[float, ...],
    after: tuple[float, ...],
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = [Times(*before), Times(*after)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: readings.pop(0))
    assert CpuShare().read(0.0) == share


def test_two_readers_at_once_get_the_same_share() -> None:
    cpu = CpuShare()
    assert cpu.read(10.0) == cpu.read(10.5)


def test_the_machine_tells_shares_and_bytes(tmp_path: Path) -> None:
    seen = told(HostCollector(tmp_path))
    assert 0 <= seen["sightline_host_cpu_utilization"] <= 1
    assert seen["sightline_host_memory_bytes total"] == psutil.virtual_memory().total
    memory = seen["sightline_host_memory_bytes available"]
    assert 0 < memory < seen["sightline_host_memory_bytes total"]
    assert 0 <= seen["sightline_host_disk_bytes free"] < seen["sightline_host_disk_bytes total"]
    assert {"sightline_host_network_bytes_total sent"} <= set(seen)


def test_a_folder_that_is_not_there_yet_is_on_its_parents_disk(tmp_path: Path) -> None:
    there = told(HostCollector(tmp_path))["sightline_host_disk_bytes total"]
    missing = told(HostCollector(tmp_path / "not" / "yet"))["sightline_host_disk_bytes total"]
    assert missing == there


def test_engines_in_threads_have_no_process_to_tell_of() -> None:
    assert told(EngineProcessCollector(list)) == {
        "sightline_engine_memory_bytes": 0,
        "sightline_engine_cpu_seconds_total": 0,
    }


def test_processor_time_of_engines_that_have_ended_still_counts() -> None:
    pids = [os.getpid()]
    collector = EngineProcessCollector(lambda: pids)
    mine = told(collector)
    assert mine["sightline_engine_memory_bytes"] > 10e6
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        pids.append(child.pid)
        both = told(collector)
        assert both["sightline_engine_memory_bytes"] > mine["sightline_engine_memory_bytes"]
        spent = both["sightline_engine_cpu_seconds_total"]
        assert spent >= mine["sightline_engine_cpu_seconds_total"] + 0.4
        child.communicate(b"\n")
    pids[:] = [child.pid]
    assert told(collector)["sightline_engine_cpu_seconds_total"] >= spent


def test_one_failed_look_at_an_engine_counts_none_of_its_time_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector = EngineProcessCollector(lambda: [os.getpid()])
    first = told(collector)["sightline_engine_cpu_seconds_total"]

    def gone(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    with monkeypatch.context() as patch:
        patch.setattr(psutil, "Process", gone)
        told(collector)
    assert told(collector)["sightline_engine_cpu_seconds_total"] < 2 * first


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {}),
        ({"memory.max": "max", "memory.current": "5", "memory.stat": ""}, {}),
        (
            {"memory.max": "100", "memory.current": "60", "memory.stat": "anon 5\n"},
            {"sightline_memory_limit_bytes": 100, "sightline_memory_used_bytes": 60},
        ),
        (
            {"memory.max": "100", "memory.current": "60", "memory.stat": "inactive_file 20"},
            {"sightline_memory_limit_bytes": 100, "sightline_memory_used_bytes": 40},
        ),
    ],
    ids=["no container", "no limit", "limited", "droppable files"],
)
def test_a_containers_own_limit_is_told_where_there_is_one(
    files: dict[str, str], expected: dict[str, float], tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert told(MemoryLimitCollector(tmp_path)) == expected


class Moody(Collector):
    """A collector that fails as long as it is told to."""

    def __init__(self) -> None:
        self.failing = False

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        if self.failing:
            raise OSError("no such device")
        return [GaugeMetricFamily("mood", "How it is.", value=1)]


def test_a_collector_that_fails_is_left_out_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    moody, seen = Moody(), []
    guarded = Guarded(moody)
    for moody.failing in (False, True, True, False, True):
        seen.append(told(guarded))
    assert seen == [{"mood": 1}, {}, {}, {"mood": 1}, {}]
    assert [record.getMessage() for record in caplog.records] == 2 * ["Moody can't be read"]
