"""One at a time, among threads and processes that share a model repository."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sightline_engines.errors import DeployError

if TYPE_CHECKING:
    from sightline_engines.triton.repository import Repository

if sys.platform != "win32":
    import fcntl

_POLL_S = 0.05


class TakenError(DeployError):
    """Others had the turn for as long as it was waited for."""


@contextmanager
def turn(file: Path, what: str, timeout_s: float) -> Iterator[None]:
    """Hold a file's lock for the length of a block; raises TakenError if others keep it.

    A process that dies lets go of it. Who holds it may remove the file. Raises DeployError where
    the file can't be made or locked.
    """
    handle = _held(file, what, timeout_s)
    try:
        yield
    finally:
        os.close(handle)


def model_turn(
    repository: Repository, model: str, timeout_s: float
) -> AbstractContextManager[None]:
    """Be the only one that changes a model, on disk and at Triton; as `turn`."""
    return turn(turn_file(repository, model), f"the deployments of '{model}'", timeout_s)


def turn_file(repository: Repository, model: str) -> Path:
    """Return the file of a model's turn; raises RepositoryError for a name that leads out."""
    folder = repository.folder_of(model)
    return folder.with_name(f".{folder.name}.turn")


def _held(file: Path, what: str, timeout_s: float) -> int:
    until_s = time.monotonic() + timeout_s
    while True:
        handle = _open(file)
        try:
            if _taken(handle, file) and _is_still(handle, file):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if time.monotonic() > until_s:
            raise TakenError(
                f"Something else has been changing {what} for {timeout_s:g} s. Wait until it is "
                "done, then try again."
            )
        time.sleep(_POLL_S)


def _open(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritable(file, error) from error


def _taken(handle: int, file: Path) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        raise _unwritable(file, error) from error
    return True


def _is_still(handle: int, file: Path) -> bool:
    """Tell whether a file is the one that was opened: who had it before may have removed it."""
    if sys.platform == "win32":
        return True
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), file.stat())
    return False


def _unwritable(file: Path, error: OSError) -> DeployError:
    return DeployError(
        f"Triton's repository can't be written: {error.strerror} ({file.parent}). Share it with "
        "this server, writable, and see to its rights."
    )
