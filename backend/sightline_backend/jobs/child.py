"""The process of one job.

    python -P -m sightline_backend.jobs.child REPORT

REPORT is the descriptor of a pipe that takes JSON lines. What to do comes as one JSON line on
stdin: database addresses hold passwords, and command lines and environments can be read by
others. What is printed goes into the job's log.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from sightline_backend.jobs.guard import fork_worker
from sightline_backend.jobs.priority import step_back

PROGRESS_EVERY_S = 0.1


class PipeReport:
    """Reports on a pipe; of progress that comes faster than it is read only the newest goes out."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._writing = threading.Lock()
        self._waiting: tuple[float, str] | None = None
        self._next_s = 0.0
        self._timer: threading.Timer | None = None

    def progress(self, share: float, doing: str) -> None:
        """Send it now, or with what comes within a tenth of a second."""
        with self._writing:
            self._waiting = (min(1.0, max(0.0, share)), doing)
            left_s = self._next_s - time.monotonic()
            if left_s <= 0:
                self._send_waiting()
            elif self._timer is None:
                self._timer = threading.Timer(left_s, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def log(self, line: str) -> None:
        """Print it: what the work prints is its log."""
        print(line, flush=True)

    def partial(self, result: dict[str, Any]) -> None:
        """Send a result so far."""
        self.send(partial=result)

    def flush(self) -> None:
        """Send progress that waits."""
        with self._writing:
            self._send_waiting()

    def send(self, **message: Any) -> None:
        """Send a message; raises ValueError for what JSON can't hold."""
        line = _line(message)
        with self._writing:
            self._send_waiting()
            _write(self._fd, line)

    def _send_waiting(self) -> None:
        self._timer = None
        if self._waiting is not None:
            _write(self._fd, _line({"progress": self._waiting}))
            self._waiting = None
            self._next_s = time.monotonic() + PROGRESS_EVERY_S


def _line(message: dict[str, Any]) -> bytes:
    # Halves of characters, as broken file names have them, are in no database and no answer.
    text = json.dumps(message, allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def main(fd: int) -> None:
    """Read what to do, and do it in a process of its own."""
    os.set_inheritable(fd, False)
    order = json.loads(sys.stdin.readline())
    fork_worker(fd)
    if order["give_way"]:
        step_back()
    report = PipeReport(fd)
    try:
        result = _work(order, report)
        report.send(result=result)
    except BaseException as error:  # the outermost frame: every end is told
        report.send(error=_error(error))
        raise SystemExit(1) from None


def _work(order: dict[str, Any], report: PipeReport) -> dict[str, Any]:
    """Import what the work needs, after the fork, and run it."""
    from sightline_backend.jobs.requests import read_request
    from sightline_backend.jobs.work.context import JobWork, WorkSettings
    from sightline_backend.store.store import open_store

    settings = dict(order["settings"])
    if settings["data_dir"] is not None:
        settings["data_dir"] = Path(settings["data_dir"])
    work = JobWork(
        job_id=order["job_id"],
        store=open_store(Path(order["models_dir"]), order["database_url"]),
        folder=Path(order["folder"]),
        report=report,
        settings=WorkSettings(**settings),
    )
    request = read_request(order["kind"], order["request"])
    result: dict[str, Any] = importlib.import_module(order["module"]).run(request, work)
    return result


def _error(error: BaseException) -> dict[str, str]:
    from sightline_engines.errors import SightlineError

    if isinstance(error, SightlineError):
        print(f"{error.code}: {error.message}", flush=True)
        return {"code": error.code, "message": error.message}
    traceback.print_exception(error)
    if isinstance(error, MemoryError):
        return {"code": "out_of_memory", "message": OUT_OF_MEMORY}
    return {
        "code": "internal",
        "message": "The job failed by a fault of its own; its log says more.",
    }


OUT_OF_MEMORY = (
    "The job ran out of memory. Close other programs, or ask for a smaller batch or input size."
)

if __name__ == "__main__":
    main(int(sys.argv[1]))
