"""A seccomp filter: the system calls that a process and its threads can no longer make.

What is refused fails as though it weren't permitted, so that a library that merely tried goes on.
Filters are programs of the classic Berkeley packet filter (linux/filter.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform

from sightline_engines.sandbox.libc import prctl
from sightline_engines.sandbox.syscalls import (
    CLONE,
    CLONE3,
    FCNTL,
    KILL,
    NEWEST,
    OPEN,
    OPENAT,
    OPENAT2,
    PRCTL,
    PRLIMIT,
    REFUSED,
    TGKILL,
    Numbers,
)

_COLUMN = {"x86_64": 0, "aarch64": 1}  # of the tables in syscalls.py
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_LOAD, _AND = 0x20, 0x54  # a word of what is asked; and with a constant
_EQUAL, _GREATER, _ANY_BIT = 0x15, 0x25, 0x45  # compare and jump
_RETURN = 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _AUDIT_AT = 0, 4

_CLONE_THREAD = 0x00010000
_PR_SET_PDEATHSIG = 1  # undone, the child could outlive its parent
_SIGNAL_COMMANDS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals by way of a file

Line = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))


class _Line(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


def restrict_calls() -> None:
    """Refuse the calls for the rest of this process's life; needs no_new_privs.

    Raises OSError where the kernel or the processor has no such filter.
    """
    machine = platform.machine()
    if machine not in _COLUMN or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, f"no filter of system calls for {machine}")
    lines = build_filter(machine, os.getpid())
    array = (_Line * len(lines))(*(_Line(*line) for line in lines))
    program = _Program(len(lines), ctypes.addressof(array))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, program)


def build_filter(machine: str, process: int) -> list[Line]:
    """Return the filter's program for a processor and the process that it is for."""
    column = _COLUMN[machine]
    lines = [
        (_LOAD, 0, 0, _AUDIT_AT),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),  # a call by another processor's table
        (_LOAD, 0, 0, _NUMBER_AT),
        (_GREATER, 0, 1, NEWEST),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for numbers in REFUSED.values():
        lines += _refuse(numbers[column], errno.EPERM)
    # Their flags lie in memory that no filter can read; the C library falls back on the older ones.
    lines += _refuse(CLONE3[column], errno.ENOSYS) + _refuse(OPENAT2[column], errno.ENOSYS)
    for numbers, body in _by_argument(process):
        lines += _when(numbers[column], body)
    return [*lines, (_RETURN, 0, 0, _ALLOW)]


def _by_argument(process: int) -> list[tuple[Numbers, list[Line]]]:
    """Return what is refused by its arguments; a body's end lets the call pass."""
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    threads_only = [_argument(0), (_ANY_BIT, 1, 0, _CLONE_THREAD), refuse]
    itself_only = [_argument(0), (_EQUAL, 1, 0, process), refuse]
    # Emptying a file that is open for reading: Landlock watches over that from ABI 3 on alone.
    emptying = [
        (_ANY_BIT, 0, 3, os.O_TRUNC),
        (_AND, 0, 0, os.O_ACCMODE),
        (_EQUAL, 0, 1, os.O_RDONLY),
        refuse,
    ]
    no_signals = [_argument(1)]
    for command in _SIGNAL_COMMANDS:
        no_signals += [(_EQUAL, 0, 1, command), refuse]
    return [
        (CLONE, threads_only),
        (KILL, itself_only),
        (TGKILL, itself_only),
        (PRLIMIT, [_argument(0), (_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, process), refuse]),
        (FCNTL, no_signals),
        (PRCTL, [_argument(0), (_EQUAL, 0, 1, _PR_SET_PDEATHSIG), refuse]),
        (OPEN, [_argument(1), *emptying]),
        (OPENAT, [_argument(2), *emptying]),
    ]


def _argument(index: int) -> Line:
    """Load the lower half of a call's argument: both processors are little-endian."""
    return (_LOAD, 0, 0, 16 + 8 * index)


def _refuse(number: int | None, error: int) -> list[Line]:
    return [] if number is None else [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | error)]


def _when(number: int | None, body: list[Line]) -> list[Line]:
    """Run a body for one call, and have the call's number loaded again after it."""
    if number is None:
        return []
    return [(_EQUAL, 0, len(body), number), *body, (_LOAD, 0, 0, _NUMBER_AT)]
