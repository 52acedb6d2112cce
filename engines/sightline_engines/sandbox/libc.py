"""Calls of the C library that Python has no name for."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

Value = int | ctypes.Array[ctypes.c_uint32] | ctypes.Structure | None


def syscall(number: int, *values: Value) -> int:
    """Make a system call; structures are passed by address. Raises OSError."""
    return _checked(_LIBC.syscall(ctypes.c_long(number), *map(_argument, values)))


def prctl(option: int, *values: Value) -> int:
    """Set something of this process; raises OSError."""
    filled = (*values, *[0] * (4 - len(values)))
    return _checked(_LIBC.prctl(ctypes.c_int(option), *map(_argument, filled)))


def unshare(flags: int) -> None:
    """Leave the shared namespaces (os.unshare, which Python has from 3.12 on)."""
    _checked(_LIBC.unshare(ctypes.c_int(flags)))


def _argument(value: Value) -> object:
    if value is None or isinstance(value, int):
        return ctypes.c_ulong(value or 0)
    return ctypes.byref(value)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
