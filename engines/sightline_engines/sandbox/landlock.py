"""Landlock: which files a process and all its threads may reach, for the rest of its life.

The numbers are those of linux/landlock.h; each ABI adds some, and what the kernel doesn't know
isn't asked for.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from sightline_engines.sandbox.libc import syscall

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every processor
_ASK_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_TRUNCATE = 1 << 14
_FILE_BITS = (1 << 0) | _WRITE_FILE | _READ_FILE | _TRUNCATE | (1 << 15)
_READ = _READ_FILE | _READ_DIR
# No folders, links, sockets or devices: whoever reads the folder afterwards meets plain files.
_SCRATCH = _READ | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
# By ABI: how many bits of file access there are.
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_FS_BITS = 16
_TCP = 0b11  # bind, connect: from ABI 4
_SCOPES = 0b11  # abstract unix sockets, signals: from ABI 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_abi() -> int:
    """Return the kernel's Landlock version; raises OSError where it has none."""
    return syscall(_CREATE, None, 0, _ASK_VERSION)


def restrict_files(read: Iterable[Path], scratch: Path, *, folders: bool = False) -> None:
    """Allow reading what is named, and reading and writing one folder; nothing can undo it.

    `folders`: others may be made in it, for tasks that write a tree. The process must have one
    thread, and no_new_privs set. Raises OSError.
    """
    abi = landlock_abi()
    handled = (1 << _FS_BITS.get(abi, _NEWEST_FS_BITS)) - 1
    rules = _Ruleset(handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    # An older kernel takes the longer structure too, as long as what it doesn't know is zero.
    ruleset = syscall(_CREATE, rules, ctypes.sizeof(rules), 0)
    try:
        for path in read:
            _allow(ruleset, path, _READ & handled)
        _allow(ruleset, Path("/dev/null"), (_READ | _WRITE_FILE) & handled)
        writing = _SCRATCH | (_MAKE_DIR | _REMOVE_DIR if folders else 0)
        _allow(ruleset, scratch, writing & handled)
        syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # not every system has each of them
    try:
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            access &= _FILE_BITS
        syscall(_ADD, ruleset, _PATH_BENEATH, _PathBeneath(access, folder), 0)
    finally:
        os.close(folder)
