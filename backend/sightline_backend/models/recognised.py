"""What model files turned out to be, kept for as long as they stay as they were."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.sidecar import sidecar_path
from sightline_engines.types import ModelSpec

_MOST = 256  # files that are remembered: each upload has a path of its own
_Stamp: TypeAlias = tuple[int, int] | None  # mtime in ns and bytes; None: there is no such file


class RecognisedFiles:
    """Recognises each model file once, and again when it or its sidecar has changed.

    May be called from several threads at once; at worst a file is then read twice.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[_Stamp, _Stamp], ModelSpec | str]] = {}

    def spec(self, path: Path) -> ModelSpec:
        """Return what a model file is; raises ModelFileError as `recognise` does."""
        stamps = _stamp(path), _stamp(sidecar_path(path))
        known = self._known.get(path)
        if known is not None and known[0] == stamps:
            found = known[1]
        else:
            found = _recognised(path)
            self._keep(path, (stamps, found))  # the stamps from before: a late change shows
        if isinstance(found, str):
            raise ModelFileError(found)
        return found

    def know(self, path: Path, spec: ModelSpec) -> None:
        """Take over what another process found a file to be."""
        self._keep(path, ((_stamp(path), _stamp(sidecar_path(path))), spec))

    def _keep(self, path: Path, found: tuple[tuple[_Stamp, _Stamp], ModelSpec | str]) -> None:
        """Remember it, and forget what was found first of too many."""
        self._known[path] = found
        while len(self._known) > _MOST:
            with suppress(RuntimeError, KeyError):  # another thread is at it
                del self._known[next(iter(self._known))]


def _recognised(path: Path) -> ModelSpec | str:
    try:
        return recognise(path)
    except ModelFileError as error:
        return error.message


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.stat()
    except (OSError, ValueError):  # the latter: a path that can't be one
        return None
    return stat.st_mtime_ns, stat.st_size
