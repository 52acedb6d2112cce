"""The benchmark beside other servers: what doesn't need them."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.report import Ages, LoadReport
from benchmarks.load.spec import parse_streams
from benchmarks.peers.harness.bare import Bare
from benchmarks.peers.harness.catalogue import PEERS, SIGHTLINE, Peer, chosen
from benchmarks.peers.harness.commands import (
    TRITON_HEADER,
    Conditions,
    first_request,
    in_process_environment,
    server_command,
)
from benchmarks.peers.harness.environment import (
    Environment,
    PeerError,
    own_environment,
    prepare,
    requirements,
)
from benchmarks.peers.harness.loads import FACTORS, choose_loads, deadline_ms, wait_ms
from benchmarks.peers.harness.measure import Row, Trial, failed, figures
from benchmarks.peers.harness.plot import lines, plot
from benchmarks.peers.harness.table import Run, table, winners
from benchmarks.peers.yolo import Detector, decode
from sightline_engines.detector import Detector as Own
from tests.conftest import ROOT, missing

FOLDER = ROOT / "benchmarks" / "peers"
OTHERS = [peer for peer in PEERS if peer is not SIGHTLINE]
ROW = Row("mosec", "as it comes", "0.5x", 5.0, 4.9, 50, 49, 0, 0, 0, 80.0, 120.0, 75.0, 210)
REPORT = LoadReport(
    seconds=10.0,
    deadline_ms=200.0,
    rates=(5.0,),
    start_s=0.0,
    offered=50,
    answered=40,
    in_time=30,
    dropped={"late": 4},
    errors={"503": 3},
    lost=2,
    wrong_stream=1,
    wrong_seq=0,
    age_ms=Ages(80.0, 90.0, 100.0, 110.0),
    offered_by_stream=(50,),
    in_time_by_stream=(30,),
    windows=(),
    answered_ever=50,
    jpeg_bytes=0,
    wire_bytes=0,
    refused={},
    closed=0,
    notices={},
    generator_cpu_s=1.0,
)


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    picture = np.zeros((8, 8, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "000.jpg"), picture)
    return Conditions(tmp_path / "m.onnx", None, tmp_path, 300, 200, 5, 1, 0, 1, 18_100)


@given(st.floats(0.01, 10_000))
def test_the_loads_sum_to_their_share_of_the_capacity(capacity: float) -> None:
    single, *shares = choose_loads(capacity)
    assert single.rates == (5.0,)
    for factor, load in zip(FACTORS, shares, strict=True):
        assert load.fps == pytest.approx(factor * capacity, rel=0.01, abs=0.01)
        assert len(set(load.rates)) == 1


@pytest.mark.parametrize("capacity", [0.0, -1.0])
def test_a_loop_that_did_nothing_gives_no_loads(capacity: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        choose_loads(capacity)


@pytest.mark.parametrize(("bare", "limit"), [(0.0, 33.0), (5.0, 33.0), (20.0, 60.0)])
def test_the_deadline_is_three_bare_runs_and_not_too_short(bare: float, limit: float) -> None:
    assert deadline_ms(bare) == limit
    assert 0 < wait_ms(limit, bare) <= limit - bare


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("", []),
        ("mosec", ["mosec"]),
        ("mosec, sightline", ["sightline", "mosec"]),
        (None, [peer.name for peer in PEERS]),
    ],
)
def test_peers_are_chosen_by_name(names: str | None, found: list[str]) -> None:
    assert [peer.name for peer in chosen(names)] == found


def test_an_unknown_peer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'frigate'.*litserve"):
        chosen("mosec,frigate")


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
def test_every_peer_has_a_page_that_compiles_and_names_its_documentation(peer: Peer) -> None:
    tree = ast.parse((FOLDER / f"{peer.name}.py").read_text())
    about = ast.get_docstring(tree) or ""
    assert "https://" in about
    for setting in peer.settings:
        assert f"{setting.name}: " in about
    assert requirements(peer).is_file()


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
def test_a_page_imports_nothing_of_sightline(peer: Peer) -> None:
    for name in (f"{peer.name}.py", "yolo.py", "options.py"):
        for node in ast.walk(ast.parse((FOLDER / name).read_text())):
            match node:
                case ast.Import(names=names):
                    modules = [alias.name for alias in names]
                case ast.ImportFrom(module=module):
                    modules = [module or ""]
                case _:
                    continue
            assert not [module for module in modules if module.startswith("sightline")]


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
def test_what_a_peer_installs_has_a_version(peer: Peer) -> None:
    for line in requirements(peer).read_text().splitlines():
        assert "==" in line, line
    assert {
        line.partition("==")[0].partition("[")[0]
        for line in requirements(peer).read_text().splitlines()
    } >= set(peer.packages)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_server_is_told_the_model_the_port_and_the_deadline(
    peer: Peer, conditions: Conditions
) -> None:
    for setting in peer.settings:
        command, told = server_command(peer, setting, Environment(Path("/v")), conditions)
        assert command[0].startswith("/v/bin/")
        assert {str(conditions.model), "18100", "300"} <= set(told.values())


def test_sightline_runs_in_the_environment_of_the_benchmark(tmp_path: Path) -> None:
    environment = prepare(SIGHTLINE, tmp_path, install=True)
    assert environment == own_environment()
    assert environment.versions(["onnxruntime", "no-such-package"]).keys() == {"onnxruntime"}


def test_a_peer_that_is_not_installed_is_a_reason_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="not installed"):
        prepare(OTHERS[0], tmp_path, install=False)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_first_picture_is_posted_as_the_peer_takes_it(
    peer: Peer, conditions: Conditions
) -> None:
    request = first_request(peer, conditions)
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /")
    assert (TRITON_HEADER.encode() in head) == (peer.name == "pytriton")
    assert body.startswith(b"\xff\xd8") == peer.raw


def test_a_peer_without_a_server_is_told_the_same_load(
    conditions: Conditions, tmp_path: Path
) -> None:
    load = choose_loads(12.0)[-1]
    told = in_process_environment(load, conditions, tmp_path / "out.json")
    assert parse_streams(told["PEER_STREAMS"]) == load.rates


def test_a_report_becomes_a_row_with_every_frame_in_its_place(conditions: Conditions) -> None:
    load = choose_loads(5.0)[0]
    own = own_environment()
    trial = Trial(SIGHTLINE, SIGHTLINE.settings[0], own, conditions, Path("x.log"))
    row = figures(trial, load, REPORT, cpu_s=2.0, memory_mb=100.4)
    assert (row.goodput, row.in_time, row.answered) == (3.0, 30, 40)
    assert (row.errors, row.refused, row.lost) == (4, 4, 2)
    assert (row.cpu_ms, row.memory_mb) == (40.0, 100)
    none = replace(REPORT, answered=0, in_time=0, answered_ever=0)
    assert figures(trial, load, none, cpu_s=2.0, memory_mb=0).cpu_ms == 0


def test_the_table_marks_the_best_and_lists_what_did_not_run(tmp_path: Path) -> None:
    better = replace(ROW, peer="LitServe", goodput=5.0, p99_ms=130.0)
    worse = replace(ROW, goodput=4.8)
    heavy = replace(ROW, load="2x", offered_fps=20.0, answered=0, in_time=0, goodput=0.0)
    broken = failed(OTHERS[0], "any setting", "", "no such wheel")
    rows = (worse, better, heavy, broken)
    run = Run(
        date="2026-01-01",
        machine="x86_64",
        model="m.onnx",
        sha256="0" * 64,
        deadline_ms=240,
        seconds=10,
        bare=Bare(80, 90, 12.5, 3),
        bare_after=Bare(81, 91, 12.4, 3),
        loads={"one stream": 5.0, "0.5x": 5.0, "2x": 20.0},
        versions={"mosec": {"mosec": "0.9.8"}},
        rows=rows,
    )
    text = table(run)
    assert "| LitServe | as it comes |  | **5.0** |" in text
    assert "| mosec | as it comes |  | 4.8 | 0.0 | 80 / 120 | none |" in text
    assert "mosec 0.9.8" in text
    assert "(12.5/s; after the run 12.4/s)" in text
    assert f"- {OTHERS[0].label}, any setting: no such wheel" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1
    plot(rows, 240, tmp_path / "peers.png")
    assert (tmp_path / "peers.png").stat().st_size > 0
    assert list(lines(rows)) == [ROW.key, better.key]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], []),
        ([failed(OTHERS[0], "any setting", "0.5x", "broken")], []),
        (
            [ROW, replace(ROW, peer="LitServe", goodput=6.0, p99_ms=130.0)],
            [
                "0.5x: most in time LitServe (as it comes), 6.0/s; "
                "lowest p99 mosec (as it comes), 120 ms"
            ],
        ),
        (
            [ROW, replace(ROW, peer="LitServe", goodput=4.89)],
            [
                "0.5x: most in time mosec (as it comes) and LitServe (as it comes), 4.9/s; "
                "lowest p99 mosec (as it comes), 120 ms"
            ],
        ),
        (
            [ROW] * 4,
            ["0.5x: most in time 4 settings alike, 4.9/s; lowest p99 mosec (as it comes), 120 ms"],
        ),
    ],
)
def test_the_winners_are_told_by_load(rows: list[Row], said: list[str]) -> None:
    assert winners(rows, ["0.5x", "2x"]) == said


def test_the_peers_find_the_boxes_that_sightline_finds(shared_data: Path) -> None:
    model = shared_data / "weights" / "yolov8n_int8.onnx"
    pictures = sorted((shared_data / "coco").rglob("*.jpg"))[:4]
    if not model.is_file() or not pictures:
        missing(f"no {model.name} and pictures in {shared_data}")
    jpegs = [file.read_bytes() for file in pictures]
    with Own.load(model, "onnxruntime", threads=1) as own:
        for jpeg, answer in zip(jpegs, Detector(model).answer(jpegs), strict=True):
            found, wanted = answer["detections"], own(decode(jpeg), conf=0.25, iou=0.45)
            assert [box["class_id"] for box in found] == wanted.class_id.tolist()
            np.testing.assert_allclose(
                np.array([box["score"] for box in found]), wanted.score, atol=1e-3
            )
            xyxy = np.array([box["xyxy"] for box in found]).reshape(-1, 4)
            np.testing.assert_allclose(xyxy, wanted.xyxy, atol=0.5)


def test_what_is_no_jpeg_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture"):
        decode(b"not a picture")
