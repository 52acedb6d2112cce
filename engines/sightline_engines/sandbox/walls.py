"""Build the walls around this very process: each by itself, and each for good.

limits        memory, processor time, file sizes, open files; no core dumps
namespaces    a network with nothing in it, own users, own shared memory
capabilities  root's powers, where the process has any
files         Landlock: reads what the plan names, writes the scratch folder
calls         seccomp: no sockets, no programs, no processes, no signals to others, no mounts
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

from sightline_engines.sandbox.landlock import restrict_files
from sightline_engines.sandbox.libc import prctl, syscall, unshare
from sightline_engines.sandbox.plan import WALLS, Limits, Plan
from sightline_engines.sandbox.seccomp import restrict_calls
from sightline_engines.sandbox.syscalls import KERNEL

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_NEW_NAMESPACES = 0x10000000 | 0x40000000 | 0x08000000 | 0x00020000  # users, network, IPC, mounts
_CAPABILITIES_VERSION = 0x20080522


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process with the one that started it."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that was said
        os._exit(1)


def build_walls(plan: Plan) -> tuple[str, ...]:
    """Build what the plan asks for and return what stands; the process has one thread yet."""
    if not plan.walls:
        return ()
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    stands: list[str] = []
    builders: dict[str, Callable[[], None]] = {
        "limits": lambda: _limit(plan.limits),
        "namespaces": lambda: _namespaces(plan.limits.threads),
        "capabilities": _capabilities,
        "files": lambda: restrict_files(plan.read, plan.scratch, folders=plan.folders),
        "calls": restrict_calls,
    }
    for name in WALLS:
        if name in plan.walls:
            try:
                builders[name]()
            except OSError:  # this system hasn't got it: the caller decides what that means
                continue
            stands.append(name)
    return tuple(stands)


def _limit(limits: Limits) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.disk_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _namespaces(threads: int) -> None:
    if not _tried_in_a_child():
        raise PermissionError("this system doesn't let users make namespaces")
    _unshare()
    # Counted within the new namespace alone: outside, it would count the user's other processes.
    resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))


def _unshare() -> None:
    user, group = os.getuid(), os.getgid()
    unshare(_NEW_NAMESPACES)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")


def _tried_in_a_child() -> bool:
    """Tell whether namespaces can be made: half made, they would leave a process of no user."""
    child = os.fork()
    if child == 0:
        try:
            _unshare()
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status == 0


def _capabilities() -> None:
    for capability in range(64):
        try:
            prctl(_PR_CAPBSET_DROP, capability)
        except OSError:  # past the last one, or not ours to drop; none is held after this anyway
            break
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    column = 0 if os.uname().machine == "x86_64" else 1
    number = KERNEL["capset"][column]
    if number is not None:
        syscall(number, header, nothing)
