"""The first process of a job: it does nothing but see that nothing of the job stays behind.

It forks before anything is loaded, so it is small; its child does the work. When that ends, or
the supervisor closes this process's stdin (by intent, or by having been killed), whatever still
runs below is killed: processes that left their group, too, as this one adopts them on Linux.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from types import FrameType

from sightline_backend.jobs.priority import adopt_orphans, die_with_parent

_LAST_TRY_S = 15.0  # a busy machine may take seconds to import what lists processes


def fork_worker(keep: int) -> bool:
    """Return True in the process that does the work; in the guard False, once all has ended.

    `keep` is the descriptor on which the work reports: the guard closes it, so that its end is
    seen. Raises SystemExit in the guard with the worker's status, 128 + n for signal n.
    """
    adopt_orphans()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, _nothing)  # without a handler the descriptor gets nothing
    signal.set_wakeup_fd(writer)
    worker = os.fork()
    if worker == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(reader)
        os.close(writer)
        os.setpgid(0, 0)
        die_with_parent()
        _replace(0, os.O_RDONLY)
        return True
    with suppress(OSError):  # the child does the same: whoever is first
        os.setpgid(worker, worker)
    signal.signal(signal.SIGTERM, lambda *_: _signal_group(worker, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(keep)
    for number in (1, 2):
        _replace(number, os.O_WRONLY)
    status = _watch(worker, reader)
    _end_all(worker)
    code = os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL
    os._exit(code if code >= 0 else 128 - code)


def _watch(worker: int, wakeups: int) -> int | None:
    """Wait for the worker's end and return its status, or None if the supervisor left."""
    while True:
        ready, _, _ = select.select([0, wakeups], [], [])
        if wakeups in ready:
            os.read(wakeups, 4096)
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == worker:
                    return status
                if pid == 0:
                    break
        if 0 in ready and not os.read(0, 4096):
            return None


def _end_all(worker: int) -> None:
    """Kill the worker's group and every descendant until there is none."""
    until_s = time.monotonic() + _LAST_TRY_S
    _signal_group(worker, signal.SIGKILL)
    while time.monotonic() < until_s:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            _kill_descendants()
            time.sleep(0.01)


def _kill_descendants() -> None:
    import psutil  # seldom needed, and it would make every guard larger

    with suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                process.kill()


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _replace(number: int, flags: int) -> None:
    nowhere = os.open(os.devnull, flags)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Be a handler."""
