"""TensorRT's timing cache on the disk: what it measured once it needn't measure again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_MAX_BYTES = 256 * 2**20


def load_timing_cache(config: Any, path: Path | None) -> Any:
    """Give a builder's configuration the cache of a file, or an empty one, and return it.

    A cache of another GPU or version, or a damaged one, is left unused: it is only a short cut.
    """
    cache = _read(config, path)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def save_timing_cache(config: Any, path: Path | None) -> None:
    """Write what a build measured, with what others wrote meanwhile, whole or not at all."""
    cache = config.get_timing_cache()
    if path is None or cache is None:
        return
    from polygraphy.util import LockFile

    path.parent.mkdir(parents=True, exist_ok=True)
    with LockFile(str(path)):
        others = _read(config, path)
        if others is not None:
            cache.combine(others, False)
        write_whole(path, cache.serialize())


def write_whole(path: Path, data: Any) -> None:
    """Write bytes to a file that is there only once it is whole, and on the disk."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(config: Any, path: Path | None) -> Any:
    try:
        if path is None or path.stat().st_size > _MAX_BYTES:
            return None
        return config.create_timing_cache(path.read_bytes())
    except (OSError, RuntimeError, TypeError):  # the last is what the bindings raise for nothing
        return None
