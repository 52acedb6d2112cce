"""Whether files still are what was stored: each is read once, and again when it has changed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from sightline_backend.store.files import digest, parts
from sightline_engines.types import ModelSpec

_MOST = 256  # files that are remembered
_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]  # of each part: when, how large, which


class SeenFiles:
    """Knows the content of files by their stamps; for several threads, a file is at worst read
    twice.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Stamp, str]] = {}

    def problem(self, spec: ModelSpec) -> str | None:
        """Return why a model's file can't be used, None if it is the one that was stored."""
        again = "Add the model again, or remove it: sightline models remove " + spec.name
        try:
            stamp = _stamp(spec.path)
            known = self._known.get(spec.path)
            if known is None or known[0] != stamp:
                known = stamp, digest(spec.path)  # the stamp from before: a late change shows
                self._known[spec.path] = known
                while len(self._known) > _MOST:
                    with suppress(RuntimeError, KeyError):  # another thread is at it
                        del self._known[next(iter(self._known))]
        except FileNotFoundError:
            return f"Its file is gone: {spec.path}. {again}"
        except OSError as error:
            return f"Its file {spec.path} can't be read: {error.strerror or error}."
        if known[1] != spec.sha256:
            return (
                f"Its file is damaged or was swapped: its SHA-256 is {known[1]}, stored was "
                f"{spec.sha256}, {spec.path}. {again}"
            )
        return None


def _stamp(path: Path) -> _Stamp:
    stats = [one.stat() for one in parts(path)]
    return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)
