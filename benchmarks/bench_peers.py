"""Measure Sightline beside other servers, each in its own virtual environment.

    python -m benchmarks.bench_peers                      # all: half an hour and 8 GB of disk
    python -m benchmarks.bench_peers --only sightline,mosec --seconds 5

Same ONNX file, same JPEG frames, same load generator and deadline for all; the server has
one core and one thread, the generator another core. benchmarks/peers/ has a page for each
peer, with the settings it is measured in. Writes benchmarks/out/peers.{json,md,png}.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.load.frames import default_clip, jpegs
from benchmarks.peers.harness.bare import measure_bare
from benchmarks.peers.harness.catalogue import Peer, chosen
from benchmarks.peers.harness.commands import Conditions
from benchmarks.peers.harness.environment import PeerError, prepare
from benchmarks.peers.harness.loads import Load, choose_loads, deadline_ms, wait_ms
from benchmarks.peers.harness.measure import Row, Trial, failed, measure
from benchmarks.peers.harness.plot import plot
from benchmarks.peers.harness.table import Run, table

HERE = Path(__file__).resolve().parent
SERVER_CORE, LOAD_CORE = 0, 1
FRAMES, SIZE_WH, QUALITY = 60, (1280, 720), 85


def main() -> int:
    """Read the command line, measure, print and write the table; 1 where nothing ran."""
    asked = _parser().parse_args()
    try:
        peers = chosen(asked.only)
    except ValueError as error:
        sys.exit(str(error))
    if not shutil.which("taskset") or (os.cpu_count() or 1) < 2:
        sys.exit("This needs Linux with `taskset` (util-linux) and two processor cores.")
    if not asked.model.is_file():
        sys.exit(f"There is no model at {asked.model}; --model names a YOLOv8 export (ONNX).")
    asked.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peers-frames-") as folder:
        run = _measure_all(peers, asked, Path(folder))
    text = table(run)
    print(text)
    (asked.output / "peers.md").write_text(text)
    (asked.output / "peers.json").write_text(json.dumps(asdict(run), indent=1))
    plot(run.rows, run.deadline_ms, asked.output / "peers.png")
    return 0 if any(not row.failure for row in run.rows) else 1


def _measure_all(peers: Sequence[Peer], asked: argparse.Namespace, frames: Path) -> Run:
    for index, jpeg in enumerate(jpegs(asked.clip, SIZE_WH, QUALITY, FRAMES)):
        (frames / f"{index:03}.jpg").write_bytes(jpeg)
    bare = measure_bare(asked.model, frames, SERVER_CORE, min(asked.seconds, 10.0))
    limit_ms = asked.deadline_ms or deadline_ms(bare.p50_ms)
    loads = choose_loads(bare.fps)
    _say(f"bare loop: {bare.p50_ms:.1f} ms, {bare.fps:.1f} frames/s; deadline {limit_ms:.0f} ms")
    conditions = Conditions(
        asked.model.resolve(),
        asked.clip,
        frames,
        limit_ms,
        wait_ms(limit_ms, bare.p50_ms),
        asked.seconds,
        asked.warm,
        SERVER_CORE,
        LOAD_CORE,
        _free_ports(),
    )
    versions, rows = _measure_peers(peers, asked, conditions, loads)
    return Run(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        model=asked.model.name,
        sha256=hashlib.sha256(asked.model.read_bytes()).hexdigest(),
        deadline_ms=round(limit_ms, 1),
        seconds=asked.seconds,
        bare=bare,
        bare_after=measure_bare(asked.model, frames, SERVER_CORE, min(asked.seconds, 10.0)),
        loads={load.name: round(load.fps, 2) for load in loads},
        versions=versions,
        rows=tuple(rows),
    )


def _measure_peers(
    peers: Sequence[Peer], asked: argparse.Namespace, conditions: Conditions, loads: Sequence[Load]
) -> tuple[dict[str, dict[str, str]], list[Row]]:
    """Return the versions by peer, and all rows; what fails is a row too."""
    versions: dict[str, dict[str, str]] = {}
    rows: list[Row] = []
    for peer in peers:
        try:
            environment = prepare(peer, asked.venvs, install=not asked.skip_install)
            versions[peer.label] = environment.versions(peer.packages)
        except (PeerError, OSError, subprocess.SubprocessError) as error:
            _say(f"{peer.label}: {error}")
            rows.append(failed(peer, "any setting", "", str(error)))
            continue
        for setting in peer.settings:
            log = asked.output / f"peers-{peer.name}-{setting.name}.log"
            for row in measure(Trial(peer, setting, environment, conditions, log), loads):
                _say(row_text(row))
                rows.append(row)
    return versions, rows


def row_text(row: Row) -> str:
    """Return a row as a line for the terminal."""
    name = f"{row.peer} ({row.setting}), {row.load}"
    if row.failure:
        return f"{name}: {row.failure}"
    return (
        f"{name}: {row.goodput:.1f}/s in time of {row.offered_fps:.1f}/s, "
        f"p50 {row.p50_ms:.0f} ms, p99 {row.p99_ms:.0f} ms, refused {row.refused}, "
        f"lost {row.lost}, errors {row.errors}"
    )


def _free_ports() -> int:
    """Return a port with two free ones above it, which Triton takes for gRPC and metrics."""
    for first in range(18_100, 18_900, 10):
        if all(_is_free(first + step) for step in range(3)):
            return first
    sys.exit("No three free ports in a row between 18100 and 18900.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", help="names, comma separated; default: all")
    parser.add_argument("--seconds", type=float, default=10.0, help="counted time of each load")
    parser.add_argument("--warm", type=float, default=2.0, help="seconds before that")
    parser.add_argument("--deadline-ms", type=float, help="default: three bare runs, at least 33")
    parser.add_argument(
        "--model",
        type=Path,
        default=HERE.parents[1] / "shared/data/weights/yolov8n_int8.onnx",
        help="an ONNX file that Ultralytics exported",
    )
    parser.add_argument("--clip", type=Path, default=default_clip(), help="video to cut frames of")
    parser.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="environments' folder")
    parser.add_argument("--skip-install", action="store_true", help="take them as they are")
    parser.add_argument("--output", type=Path, default=HERE / "out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
