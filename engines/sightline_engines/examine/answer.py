"""What a child process found out, as a small JSON file: written there, and distrusted here."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightline_engines.errors import SightlineError
from sightline_engines.texts import cut

_NAME = "answer.json"
_MAX_BYTES = 32 * 2**20
_MESSAGE_CHARS = 2000
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Unreadable(SightlineError):
    """The child read the file, and it is none that is taken."""


def answer(folder: Path, work: Callable[[], dict[str, Any]]) -> None:
    """Do the work and write what it returns, or why it can't be done."""
    try:
        found = work()
    except SightlineError as error:
        found = {"refused": error.message}
    except MemoryError:
        found = {"refused": "It takes more memory to be read than an upload may."}
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        found = {"no_room": True}
    (folder / _NAME).write_text(json.dumps(found), encoding="ascii")


def read_answer(folder: Path) -> dict[str, Any]:
    """Return what the child wrote. Raises Unreadable, OSError for want of room, ValueError."""
    path = folder / _NAME
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise ValueError("it left no answer") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise ValueError("it left no answer")
        found = json.loads(file.read(_MAX_BYTES))
    if not isinstance(found, dict):
        raise ValueError("it left no answer")
    if "no_room" in found:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "refused" in found:
        raise Unreadable(cut(str(found["refused"]), _MESSAGE_CHARS))
    return found
