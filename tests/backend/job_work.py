"""What the tests' jobs do: a request's model name says it. Runs in the jobs' own processes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sightline_backend.errors import NotPossibleError
from sightline_backend.jobs.requests import BenchmarkRequest, ConvertRequest
from sightline_backend.jobs.work.context import JobWork


def run(  # noqa: PLR0912, PLR0915  a table of behaviours
    request: ConvertRequest | BenchmarkRequest, work: JobWork
) -> dict[str, Any]:
    """Do what the first label says; a benchmark hangs."""
    (what,) = ["hang"] if isinstance(request, BenchmarkRequest) else request.labels or ["work"]
    (work.folder / "half-made").write_bytes(b"x" * 1000)
    work.report.log(f"begun by {os.getpid()} in {work.folder}")
    work.report.progress(0.5, what)
    match what:
        case "work":
            work.report.partial({"half": True})
        case "slow":
            time.sleep(0.3)
        case "refuse":
            raise NotPossibleError("It can't be done [because]: try another.")
        case "bug":
            raise ZeroDivisionError("in the depths")
        case "no memory":
            raise MemoryError
        case "leave":
            os._exit(7)
        case "crash":
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(600)
        case "stubborn at first" if (work.store.folder / "seen").exists():
            pass
        case "stubborn" | "stubborn at first":
            (work.store.folder / "seen").touch()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _grandchildren()
            work.report.progress(0.6, "deaf")
            time.sleep(600)
        case "leaves grandchildren":
            _grandchildren()
        case "garbage":
            work.report.partial({"kept": 1})
            os.write(int(sys.argv[1]), b"\x00\xff no message\n")
            time.sleep(600)
        case "endless message":
            while True:
                os.write(int(sys.argv[1]), b"x" * 65536)
        case "flood":
            for number in range(50_000):
                print(f"line {number} " + "x" * 20)
            print("y" * 100_000)
            print("the last line")
        case "many reports":
            for number in range(20_000):
                work.report.progress(number / 20_000, f"step {number}")
            work.report.progress(0.9, "the last step")
            time.sleep(0.6)
        case "strange words":
            work.report.progress(0.6, "odd\0 words")
            time.sleep(0.6)
            return {"name": "caf\udce9"}
        case "not JSON":
            return {"figure": float("nan")}
        case "environment":
            mine = Path("/proc/self/cmdline").read_bytes().decode().split("\0")
            return {"environment": dict(os.environ), "command": mine}  # noqa: TID251
    return {"artefact_id": 7, "did": what, "nice": os.nice(0)}


def _grandchildren() -> None:
    """Start one process in the group and one in a session of its own; neither ends by itself."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    for alone in (False, True):
        subprocess.Popen([sys.executable, "-c", code, "sightline-test"], start_new_session=alone)
