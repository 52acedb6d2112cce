"""The verdicts and tables of `python -m benchmarks.triton`, without a server or a GPU."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.triton import __main__ as program
from benchmarks.triton import beside, gpu
from benchmarks.triton.beside import Rounds
from benchmarks.triton.gpu import Found
from sightline_engines import passport_check
from sightline_engines.convert import plan
from sightline_engines.triton.bench.figures import Latency, Means, Measured, ServerSplit
from sightline_engines.triton.bench.options import BenchOptions
from sightline_engines.triton.config import read_config
from sightline_engines.types import Format
from tests.engines.fake_builder import install


def rounds(*ratios: float) -> Rounds:
    return Rounds([100.0 * one for one in ratios], [100.0] * len(ratios), [1.0], [1.0])


@pytest.mark.parametrize(
    ("ratios", "holds"),
    [
        ((), False),
        ((1.0,), True),
        ((1.049,), True),
        ((0.94,), False),
        ((1.051,), False),
        ((0.5, 1.0, 1.75), True),  # the median counts
        ((0.9, 0.94, 1.0), False),
    ],
)
def test_the_median_of_the_rounds_must_be_within_5_percent(
    ratios: tuple[float, ...], holds: bool
) -> None:
    found = rounds(*ratios)
    assert found.holds is holds
    if ratios:
        row = beside.table({("detector", 4): found})[-2]
        assert f"| {'yes' if holds else 'no'} |" in row


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_is_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: bool, status: int
) -> None:
    triton = SimpleNamespace(load=lambda: None)
    monkeypatch.setattr(program, "install_triton", lambda: SimpleNamespace(perf_analyzer="p"))
    monkeypatch.setattr(program, "at_triton", lambda *_: nullcontext(triton))
    monkeypatch.setattr(beside, "measured", lambda *_: (["the table"], holds))
    words = ["benchmarks.triton", "--only", "beside", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert program.main() == status
    assert (tmp_path / "triton.md").read_text() == "the table\n"


def found(per_s: float, p99_ms: float, use: float | None, remark: str = "") -> Found:
    split = ServerSplit("m", 300, 0, 300, 20, 0, Means(5, 1, 1, 2, 1), {15: 20})
    latency = Latency(p99_ms, 0, p99_ms, p99_ms, p99_ms, p99_ms, p99_ms)
    measured = Measured(
        model="m",
        load="32 in flight",
        sends="images",
        batch=1,
        complete=True,
        stable=True,
        remark=remark,
        windows=(),
        counted=3,
        seconds=3.0,
        requests=300,
        requests_per_s=per_s,
        pictures_per_s=per_s,
        latency_ms=latency,
        failures=(),
        sent_late=0,
        server=(split,),
    )
    return Found(measured, use, 1)


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (
            replace(found(0, 1, 0.9), measured=replace(found(0, 1, 0.9).measured, latency_ms=None)),
            False,
        ),
        (found(2000, 29.9, 0.81), True),
        (found(2000, 30.0, 0.81), False),
        (found(2000, 10.0, 0.8), False),
        (found(2000, 10.0, None), False),
    ],
)
def test_p99_and_use_must_hold_together(one: Found, holds: bool) -> None:
    assert one.holds is holds
    (row,) = [line for line in gpu.table("m", {16: one}) if line.startswith("| 16 ")]
    assert row.endswith(f"| 32 in flight | 15.0 | 2000 at 20 ms | {'yes' if holds else 'no'} |")


def test_remarks_stand_below_the_table() -> None:
    lines = gpu.table("m", {1: found(9, 9, 0.9, "busy"), 16: found(9, 9, 0.9)}, ["No plan."])
    assert [line for line in lines[6:] if line] == ["No plan.", "Batch 1: busy."]


def test_the_fastest_load_that_holds_both_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    figures = {16: (800, 10, 0.5), 32: (900, 20, 0.85), 64: (950, 31, 0.99)}

    def measured(_server: object, _name: str, in_flight: int, _s: float, processes: int) -> Found:
        asked.append((in_flight, processes))
        return replace(found(*figures[in_flight]), processes=processes + 1)

    monkeypatch.setattr(gpu, "_measured", measured)
    best = gpu._best(None, "m", 16, 1.0)  # type: ignore[arg-type]
    assert best.measured.requests_per_s == 900
    assert asked == [(16, 1), (32, 2), (64, 3)]  # beyond the limit nothing more is tried


def test_more_processes_send_until_none_of_them_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def measure(options: BenchOptions, _look: object) -> Measured:
        asked.append(options.processes)
        return replace(found(9, 9, 0.9).measured, client_cpu=1.6 / options.processes)

    monkeypatch.setattr(gpu, "measure", measure)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    server = SimpleNamespace(grpc_url="here:1")
    one = gpu._measured(server, "m", 32, 1.0, 1)  # type: ignore[arg-type]
    assert (asked, one.processes, one.use) == ([1, 2], 2, None)
    asked.clear()
    assert gpu._measured(server, "m", 1, 1.0, 1).processes == 1  # type: ignore[arg-type]
    assert asked == [1]


def test_the_plan_that_is_built_for_the_table_is_deployed_for_each_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, passport_check, plan)
    loaded: list[str] = []
    control = SimpleNamespace(load=lambda name, _: loaded.append(name), unload=lambda *_, **__: 0)
    monkeypatch.setattr(gpu, "Control", lambda *_: control)
    models, client = tmp_path / "models", SimpleNamespace()
    models.mkdir()
    place = gpu.Place(Path("tritonserver"), None, None, tmp_path)
    spec, built_from, remarks = gpu._model(place, client, models)  # type: ignore[arg-type]
    assert (spec.format, spec.precision, remarks) == (Format.TENSORRT, "fp16", [])
    for batch in gpu.PUBLISHED:
        with gpu._served(client, models, spec, batch, built_from) as name:  # type: ignore[arg-type]
            assert loaded[-1] == name
        config = read_config((models / loaded[-2] / "config.pbtxt").read_text())
        assert config.platform == "tensorrt_plan"
        assert config.max_batch_size in (batch, 0 if batch == 1 else batch)
        assert list(config.instance_group[0].gpus) == [0]
