"""What the machine and the engines' processes use, against what the system says itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from prometheus_client.registry import Collector

from sightline_monitoring.engine_processes import EngineProcessCollector
from sightline_monitoring.host import CpuShare, HostCollector

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
