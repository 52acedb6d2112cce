"""What a walled child can reach: nothing. Each attack works where there are no walls."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sightline_engines.sandbox.plan import WALLS, Limits
from sightline_engines.sandbox.run import Outcome, SandboxError, run_walled
from sightline_engines.sandbox.seccomp import build_filter
from sightline_engines.sandbox.syscalls import REFUSED
from tests.conftest import missing
from tests.engines.attacks import ATTACKS

TASK = "tests.engines.attacks"
NETWORK = {"tcp", "web", "datagram", "unix_socket", "abstract_socket"}


class Target:
    """What the attacks are after: listeners, files, this process."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.outside = folder / "outside"
        self.outside.mkdir()
        name = f"sightline-test-{os.getpid()}-{folder.name}"
        self.shm = Path("/dev/shm", name)
        secret, spare = folder / "secret", folder / "spare"
        for path in (secret, spare):
            path.write_text("a secret")
        self.spare = spare
        self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = self.tcp.getsockname()[1]
        self.udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.udp.bind(("127.0.0.1", port))
        self.unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        address = f"/tmp/{name}"[:100]  # a socket's address is short
        self.unix.bind(address)
        stack.callback(os.unlink, address)
        self.abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        self.abstract.bind("\0" + name)
        for listener in (self.unix, self.abstract):
            listener.listen()
        for listener in (self.tcp, self.udp, self.unix, self.abstract):
            listener.setblocking(False)
        self.signals: list[int] = []
        before = signal.signal(signal.SIGUSR2, lambda number, _: self.signals.append(number))
        stack.callback(signal.signal, signal.SIGUSR2, before)
        key = 0x51600000 | os.getpid()
        libc = ctypes.CDLL(None)
        segment = libc.shmget(key, 4096, 0o1600)
        stack.callback(libc.shmctl, segment, 0, None)
        stack.callback(self.shm.unlink, missing_ok=True)
        self.facts: dict[str, Any] = {
            "port": port,
            "unix": address,
            "abstract": name,
            "outside": str(self.outside),
            "secret": str(secret),
            "spare": str(spare),
            "parent": os.getpid(),
            "shm_key": key,
        }

    def reached(self) -> list[str]:
        """Return what of it was touched."""
        found = [str(path.name) for path in self.outside.iterdir()]
        found += ["signal"] * bool(self.signals) + ["shm"] * self.shm.exists()
        for name, listener in (("tcp", self.tcp), ("unix", self.unix), ("abstract", self.abstract)):
            try:
                listener.accept()[0].close()
                found.append(name)
            except BlockingIOError:
                pass
        try:
            self.udp.recv(100)
            found.append("udp")
        except BlockingIOError:
            pass
        status = self.spare.stat()
        return found + ["spare"] * (status.st_size == 0 or status.st_mode & 0o777 == 0o777)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with ExitStack() as stack:
        yield Target(tmp_path, stack)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def attack(
    scratch: Path,
    facts: dict[str, Any],
    names: list[str],
    walls: tuple[str, ...],
    limits: Limits | None = None,
) -> tuple[Outcome, set[str]]:
    """Run attacks behind some walls; return the outcome and what got through."""
    told: list[str] = []
    outcome = run_walled(
        TASK,
        {"attacks": names, "facts": facts},
        scratch,
        limits=limits,
        walls=walls,
        required=(),
        progress=lambda _, doing: told.append(doing),
    )
    if not set(walls) <= set(outcome.walls):
        missing(f"walls that this system can't build: {set(walls) - set(outcome.walls)}")
    through = {name for line in told for name in line.removeprefix("through:").split()}
    return outcome, through


def test_without_walls_every_attack_works(target: Target, scratch: Path) -> None:
    rings = {"rings"} if os.path.exists("/proc/sys/kernel/io_uring_disabled") else set()
    outcome, through = attack(scratch, target.facts, list(ATTACKS), ())
    assert outcome.walls == ()
    assert through | rings == set(ATTACKS), outcome.said
    time.sleep(1.2)
    assert set(target.reached()) == {
        *("shell", "written", "daemon", "signal", "shm", "tcp", "udp", "unix", "abstract", "spare")
    }
    assert (scratch / "loot").read_text() == "a secret"


@pytest.mark.parametrize("without", ["", "namespaces", "capabilities", "limits"])
def test_behind_the_walls_nothing_is_reached(target: Target, scratch: Path, without: str) -> None:
    walls = tuple(wall for wall in WALLS if wall != without)
    outcome, through = attack(scratch, target.facts, list(ATTACKS), walls)
    assert through == set(), outcome.said
    assert outcome.done
    assert outcome.walls == walls
    time.sleep(0.2 if without else 1.2)
    assert target.reached() == []
    assert not (scratch / "loot").exists()


@pytest.mark.parametrize(
    ("wall", "keeps_out"),
    [
        ("namespaces", {"tcp", "web", "datagram", "abstract_socket", "old_shared_memory"}),
        (
            "files",
            {"read_system", "read_secret", "write_outside", "shell", "spy_on_parent"}
            | {"link_outside", "shared_memory"},
        ),
        (
            "calls",
            NETWORK
            | {
                "shell",
                "program",
                "daemon",
                "kill_parent",
                "limit_parent",
                "rings",
                "tracing",
                "forget_parent",
            }
            | {"empty_outside", "open_outside_to_all", "memory_without_limit", "old_shared_memory"},
        ),
    ],
)
def test_each_wall_holds_by_itself(
    target: Target, scratch: Path, wall: str, keeps_out: set[str]
) -> None:
    names = [name for name in ATTACKS if name in keeps_out]
    outcome, through = attack(scratch, target.facts, names, (wall,))
    assert through == set(), outcome.said


def test_no_capability_is_left(scratch: Path) -> None:
    outcome = run_walled(
        "tests.engines.facts_of_child", {}, scratch, walls=("capabilities",), required=()
    )
    assert outcome.walls == ("capabilities",)
    assert "CapEff:\t0000000000000000" in outcome.said
    assert "NoNewPrivs:\t1" in outcome.said


def test_the_environment_and_open_files_are_not_passed_on(scratch: Path, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        outcome = run_walled("tests.engines.facts_of_child", {}, scratch, walls=(), required=())
    assert "files: 0 1 2\n" in outcome.said
    names = "CUDA_VISIBLE_DEVICES HOME LANG OMP_NUM_THREADS OPENBLAS_NUM_THREADS PATH TMPDIR"
    assert f"names: {names}\n" in outcome.said


TIGHT = Limits(
    memory_bytes=2**29,
    cpu_s=1,
    wall_s=2,
    disk_bytes=16 * 2**20,
    files=50,
    said_bytes=100_000,
)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("memory", "MemoryError"),
        ("processor", "processor time"),
        ("sleep", "longer than 2 s"),
        ("large_file", ""),
        ("many_files", "more than 50 files"),
        ("disk", "wrote more than"),
        ("chatter", "printed more than"),
        ("crash", "SIGSEGV"),
        ("lie", "code 3"),
    ],
)
def test_what_takes_too_much_is_ended(scratch: Path, name: str, says: str) -> None:
    began = time.monotonic()
    outcome, through = attack(scratch, {}, [name], WALLS, TIGHT)
    assert through <= {"??red", "?[31mred"}
    assert says in outcome.error, outcome
    assert outcome.done == (name == "large_file")
    assert outcome.walls == WALLS
    assert time.monotonic() - began < 15
    assert sum(path.stat().st_size for path in scratch.iterdir()) < 40 * 2**20


@pytest.mark.parametrize("wall", ["files", "calls"])
def test_without_a_needed_wall_nothing_is_opened(scratch: Path, wall: str) -> None:
    walls = tuple(name for name in WALLS if name != wall)
    with pytest.raises(SandboxError, match="only opened behind walls"):
        run_walled(TASK, {"attacks": ["write_outside"], "facts": {}}, scratch, walls=walls)
    assert list(scratch.iterdir()) == []


def test_a_system_other_than_linux_is_refused(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline_engines.sandbox.run.sys.platform", "darwin")
    with pytest.raises(SandboxError, match="darwin, not Linux"):
        run_walled(TASK, {}, scratch)


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_jumps_within_itself_and_names_each_call(machine: str, column: int) -> None:
    lines = build_filter(machine, 4711)
    assert len(lines) < 4096  # the kernel's limit
    for place, (_, yes, no, _) in enumerate(lines):
        assert place + max(yes, no) < len(lines) - (place != len(lines) - 1)
        assert max(yes, no) < 256
    compared = {constant for code, _, _, constant in lines if code == 0x15}
    assert {numbers[column] for numbers in REFUSED.values()} - {None} <= compared
    assert lines[-1] == (0x06, 0, 0, 0x7FFF0000)
