"""What a hostile checkpoint would try. Each returns only if it got through; it raises otherwise.

The text of this file is also what the malicious pickles of the tests run, so it imports nothing
of ours. `run` is a task of the sandbox.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Facts = dict[str, Any]  # where the test's listeners, files and processes are


def tcp(facts: Facts) -> None:
    with socket.create_connection(("127.0.0.1", facts["port"]), 1) as link:
        link.sendall(b"stolen")


def web(facts: Facts) -> None:
    import urllib.request

    try:
        urllib.request.urlopen(f"http://127.0.0.1:{facts['port']}/", timeout=0.3)
    except TimeoutError:
        return  # it connected: nobody answers


def datagram(facts: Facts) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(b"stolen", ("127.0.0.1", facts["port"]))


def unix_socket(facts: Facts) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(facts["unix"])


def abstract_socket(facts: Facts) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect("\0" + facts["abstract"])


def shell(facts: Facts) -> None:
    if os.system(f"touch {facts['outside']}/shell"):  # noqa: S605
        raise PermissionError("the shell didn't start")


def program(facts: Facts) -> None:
    subprocess.run(["/bin/true"], check=True)


def read_system(facts: Facts) -> None:
    Path("/etc/passwd").read_text()


def read_secret(facts: Facts) -> None:
    Path("loot").write_text(Path(facts["secret"]).read_text())


def write_outside(facts: Facts) -> None:
    Path(facts["outside"], "written").write_text("mine")


def link_outside(facts: Facts) -> None:
    os.link(facts["secret"], "linked")


def empty_outside(facts: Facts) -> None:
    os.truncate(facts["spare"], 0)


def open_outside_to_all(facts: Facts) -> None:
    os.chmod(facts["spare"], 0o777)  # noqa: S103


def spy_on_parent(facts: Facts) -> None:
    Path(f"/proc/{facts['parent']}/environ").read_bytes()


def kill_parent(facts: Facts) -> None:
    os.kill(facts["parent"], signal.SIGUSR2)


def limit_parent(facts: Facts) -> None:
    import resource

    now = resource.prlimit(facts["parent"], resource.RLIMIT_CORE)
    resource.prlimit(facts["parent"], resource.RLIMIT_CORE, now)


def daemon(facts: Facts) -> None:
    if os.fork():
        return
    os.setsid()
    time.sleep(1)
    Path(facts["outside"], "daemon").write_text("alive")
    os._exit(0)


def shared_memory(facts: Facts) -> None:
    Path("/dev/shm", facts["abstract"]).write_text("mine")


def memory_without_limit(facts: Facts) -> None:
    os.close(os.memfd_create("hidden"))


def old_shared_memory(facts: Facts) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.shmget(facts["shm_key"], 4096, 0o600)
    if found < 0:
        raise OSError(ctypes.get_errno(), "shmget")


def tracing(facts: Facts) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0, 0, None, None) < 0:  # PTRACE_TRACEME
        raise OSError(ctypes.get_errno(), "ptrace")


def forget_parent(facts: Facts) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(1, 0, 0, 0, 0) < 0:  # PR_SET_PDEATHSIG: live on when the parent is killed
        raise OSError(ctypes.get_errno(), "prctl")


def rings(facts: Facts) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 1, ctypes.create_string_buffer(120)) < 0:  # io_uring_setup
        raise OSError(ctypes.get_errno(), "io_uring_setup")


ATTACKS: dict[str, Callable[[Facts], None]] = {
    attack.__name__: attack
    for attack in (
        *(tcp, web, datagram, unix_socket, abstract_socket, shell, program, read_system),
        *(read_secret, write_outside, link_outside, empty_outside, open_outside_to_all),
        *(spy_on_parent, kill_parent, limit_parent, daemon, shared_memory),
        *(memory_without_limit, old_shared_memory, rings, tracing, forget_parent),
    )
}


def memory(facts: Facts) -> None:
    taken = [bytearray(2**29) for _ in range(4)]
    print(len(taken))


def processor(facts: Facts) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        pass


def sleep(facts: Facts) -> None:
    time.sleep(20)


def large_file(facts: Facts) -> None:
    with open("large", "wb") as file:
        for _ in range(64):
            file.write(bytes(2**20))


def many_files(facts: Facts) -> None:
    for number in range(500):
        Path(f"file{number}").write_text("x")
    time.sleep(5)


def disk(facts: Facts) -> None:
    for number in range(24):
        Path(f"part{number}").write_bytes(os.urandom(2**20))
    time.sleep(5)


def chatter(facts: Facts) -> None:
    for _ in range(100_000):
        print("x" * 1000)


def crash(facts: Facts) -> None:
    ctypes.string_at(0)


def lie(facts: Facts) -> None:
    print("::sightline walls none")
    print("::sightline progress nan \x1b[31mred")
    print("::sightline progress 0.5 \x1b[31mred")
    os._exit(3)


GREEDY: dict[str, Callable[[Facts], None]] = {
    attack.__name__: attack
    for attack in (*(memory, processor, sleep, large_file, many_files, disk, chatter, crash, lie),)
}


def run(arguments: dict[str, Any], tell: Callable[[float, str], None]) -> None:
    """Try each that is named, and tell which got through."""
    through = []
    for name in arguments["attacks"]:
        try:
            (ATTACKS | GREEDY)[name](arguments["facts"])
        except (OSError, subprocess.SubprocessError) as error:
            print(name, repr(error))
        else:
            through.append(name)
    tell(0.9, "through: " + " ".join(through))
