"""A task for a walled child that takes what it shouldn't."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from sightline_engines.examine.answer import answer
from sightline_engines.progress import Progress


def run(arguments: dict[str, Any], tell: Progress) -> None:
    """Do one of several things, named by `what`."""
    scratch = Path(arguments["scratch"])
    tell(0.0, arguments["what"])
    match arguments["what"]:
        case "memory":
            answer(scratch, lambda: {"size": len(bytearray(2**40))})
        case "time":
            while True:
                pass
        case "room":
            answer(scratch, _no_room)
        case "silence":
            return
        case "lies":
            (scratch / "answer.json").write_text("[" * 100_000)
        case _:
            answer(scratch, lambda: {"folders": [path.name for path in _made(scratch)]})


def _no_room() -> dict[str, Any]:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _made(scratch: Path) -> list[Path]:
    (scratch / "a" / "b").mkdir(parents=True)
    (scratch / "a" / "c").mkdir()
    (scratch / "a" / "c").rmdir()
    return sorted((scratch / "a").iterdir())
