"""Run a task in a walled child process and watch over it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sightline_engines
from sightline_engines.errors import ModelFileError
from sightline_engines.progress import Progress, quiet
from sightline_engines.sandbox import child
from sightline_engines.sandbox.plan import REQUIRED, WALLS, Limits, Plan

_LOOK_EVERY_S = 0.1  # at the scratch folder
_TAIL_BYTES = 8192
_TEXT_CHARS = 400  # most that is shown of what a child says
# What programs read to start at all; none of it is anyone's own.
_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"),
    *("/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/zero"),
    *("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)


class SandboxError(ModelFileError):
    """This system can't build the walls behind which an untrusted file may be opened."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended. Whatever lies in its folder is hostile; so are its texts."""

    done: bool
    walls: tuple[str, ...]  # that stood
    error: str  # one printable line; empty: done
    said: str  # the end of what it printed


@dataclass(slots=True)
class _Heard:
    """What a child has said so far."""

    walls: tuple[str, ...] | None = None
    error: str = ""
    count: int = 0
    rest: bytes = b""
    tail: bytearray = field(default_factory=bytearray)


def run_walled(  # noqa: PLR0913 - walls and required are for tests
    task: str,
    arguments: dict[str, Any],
    scratch: Path,
    *,
    read: Iterable[Path] = (),
    limits: Limits | None = None,
    progress: Progress = quiet,
    walls: tuple[str, ...] = WALLS,
    required: tuple[str, ...] = REQUIRED,
    folders: bool = False,
) -> Outcome:
    """Run `run(arguments, tell)` of a trusted module behind walls; blocks until it has ended.

    `scratch` is an empty folder of the caller's, the only one that the task may write to;
    `folders`: it may make others in it.
    Fewer walls are for tests, which show what each keeps out. Raises SandboxError where the
    required ones can't be built.
    """
    if sys.platform != "linux" and required:
        raise SandboxError(_refusal(required, f"this system is {sys.platform}, not Linux"))
    plan = Plan(
        task=task,
        arguments=arguments,
        scratch=scratch.resolve(),
        read=(*_python(), *(path.resolve() for path in read)),
        import_from=tuple(os.path.abspath(entry) for entry in sys.path if entry),
        limits=limits or Limits(),
        walls=walls,
        required=required,
        folders=folders,
    )
    process = _start(plan)
    try:
        heard, verdict = _watch(process, plan, progress)
    finally:
        _end(process)
    return _outcome(plan, process.returncode, heard, verdict)


def _start(plan: Plan) -> subprocess.Popen[bytes]:
    """Start the child with nothing of ours but one pipe each way."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-u", child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(plan.scratch),
        cwd=plan.scratch,
        start_new_session=True,
        close_fds=True,
    )
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError), process.stdin:  # it ended at once: told later
        asked = {"plan": plan.to_dict(), "parent": os.getpid()}
        process.stdin.write(json.dumps(asked).encode())
    return process


def _environment(scratch: Path) -> dict[str, str]:
    """Return all that the child knows of the environment."""
    folder = str(scratch)
    return {
        "HOME": folder,
        "TMPDIR": folder,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",  # threads cost address space; an export computes next to nothing
        "OPENBLAS_NUM_THREADS": "1",  # and with a second thread no namespace can be left
    }


def _python() -> tuple[Path, ...]:
    """Return what importing needs: the standard library, installed packages, system libraries."""
    names = sysconfig.get_paths()
    folders = {names[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {e for e in sys.path if Path(e).name in ("site-packages", "dist-packages")}
    libraries = sysconfig.get_config_var("LIBDIR")
    if libraries:
        folders.add(str(libraries))
    ours = Path(sightline_engines.__file__).parent
    return (ours, *(Path(entry) for entry in (*sorted(folders), *_SYSTEM)))


def _watch(process: subprocess.Popen[bytes], plan: Plan, progress: Progress) -> tuple[_Heard, str]:
    """Listen until the child ends or goes too far; return what it said and why it is ended."""
    limits, heard = plan.limits, _Heard()
    deadline = time.monotonic() + limits.wall_s
    look_at = 0.0
    assert process.stdout is not None  # noqa: S101
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ready = selector.select(_LOOK_EVERY_S)
            if ready:
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return heard, _wait(process, deadline, limits)
                _hear(heard, data, progress)
            elif process.poll() is not None:  # something else still holds the pipe
                return heard, ""
            if heard.count > limits.said_bytes:
                return heard, f"it printed more than {limits.said_bytes} bytes"
            if time.monotonic() > deadline:
                return heard, f"it took longer than {limits.wall_s:g} s"
            if (looked := time.monotonic()) >= look_at:
                if too_much := _too_much(plan.scratch, limits):
                    return heard, too_much
                # Of a large tree a look is dear: a twentieth of the time is spent on it at most.
                look_at = looked + max(_LOOK_EVERY_S, 20 * (time.monotonic() - looked))


def _wait(process: subprocess.Popen[bytes], deadline: float, limits: Limits) -> str:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"it took longer than {limits.wall_s:g} s"
    return ""


def _hear(heard: _Heard, data: bytes, progress: Progress) -> None:
    """Take in what was printed; the first line is ours, all others are whoever's."""
    heard.count += len(data)
    heard.tail += data
    del heard.tail[:-_TAIL_BYTES]
    *lines, heard.rest = (heard.rest + data).split(b"\n")
    heard.rest = heard.rest[-_TAIL_BYTES:]
    for line in lines:
        text = line.decode(errors="replace")
        what, _, rest = text.removeprefix(child.SAYS).partition(" ")
        if not text.startswith(child.SAYS):
            continue
        if what == "walls" and heard.walls is None:
            heard.walls = tuple(name for name in rest.split() if name in WALLS)
        elif what == "progress":
            _tell(rest, progress)
        elif what == "error":
            heard.error = _printable(rest)


def _tell(text: str, progress: Progress) -> None:
    share, _, doing = text.partition(" ")
    try:
        value = float(share)
    except ValueError:
        return
    if 0 <= value <= 1:
        progress(value, _printable(doing))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_TEXT_CHARS])


def _too_much(scratch: Path, limits: Limits) -> str:
    """Tell whether the folder holds more than it may."""
    size = count = 0
    for folder, _, names in os.walk(scratch):
        count += len(names)
        if count > limits.files:
            return f"it made more than {limits.files} files"
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:  # removed meanwhile
                continue
    return f"it wrote more than {limits.disk_bytes} bytes" if size > limits.disk_bytes else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the child: its whole session gets SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _outcome(plan: Plan, code: int | None, heard: _Heard, verdict: str) -> Outcome:
    said = bytes(heard.tail).decode(errors="replace")
    if heard.walls is None:
        raise SandboxError(f"The child process didn't start: {_printable(said[-_TEXT_CHARS:])}")
    missing = [name for name in plan.required if name not in heard.walls]
    if missing:
        raise SandboxError(_refusal(missing, "this system doesn't offer them"))
    error = verdict or ("" if code == 0 else heard.error or _ended_by(code))
    return Outcome(not error, heard.walls, error, said)


def _ended_by(code: int | None) -> str:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return "it used up its processor time, or was killed"
    if code is not None and code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with code {code}"


def _refusal(missing: Iterable[str], why: str) -> str:
    needs = {"files": "Landlock (Linux 5.13 or newer)", "calls": "seccomp filters"}
    names = " and ".join(needs.get(name, name) for name in missing)
    return (
        f"PyTorch files are programs, and are only opened behind walls: {names} missing, as {why}. "
        "Export the model to ONNX where it was trained, and add the .onnx file."
    )
