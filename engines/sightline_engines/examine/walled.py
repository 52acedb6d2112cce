"""Run a look at an upload behind the walls that this system can build."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sightline_engines.examine.answer import Unreadable, read_answer
from sightline_engines.progress import quiet
from sightline_engines.sandbox.plan import Limits
from sightline_engines.sandbox.run import run_walled

# Reading is no program's to forbid: where walls are missing the limits still hold.
_REQUIRED = ("limits",)


def look(
    task: str, arguments: dict[str, Any], scratch: Path, read: Iterable[Path], limits: Limits
) -> dict[str, Any]:
    """Return what a task of this package found out; blocks. `scratch` is a new folder of its own.

    On systems other than Linux it runs in this process, with the readers' own checks alone.
    Raises Unreadable, OSError for want of room.
    """
    scratch.mkdir()
    if sys.platform != "linux":
        importlib.import_module(task).run(json.loads(json.dumps(arguments)), quiet)
        return read_answer(scratch)
    outcome = run_walled(
        task, arguments, scratch, read=read, limits=limits, required=_REQUIRED, folders=True
    )
    if not outcome.done:
        raise Unreadable(f"It could not be read: {outcome.error}.")
    try:
        return read_answer(scratch)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"It could not be read: {error}.") from error
