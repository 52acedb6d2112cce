"""The child's part: recognise an ONNX file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline_engines.examine.answer import answer
from sightline_engines.progress import Progress
from sightline_engines.recognise import recognise


def run(arguments: dict[str, Any], tell: Progress) -> None:
    """Write what the file at `path` is into `scratch`."""
    tell(0.0, "Reading the model")
    answer(Path(arguments["scratch"]), lambda: _found(Path(arguments["path"])))


def _found(path: Path) -> dict[str, Any]:
    fields = asdict(recognise(path))
    for name in ("path", "engine", "passport"):
        del fields[name]
    return {"static_batch": fields.pop("static_batch"), "spec": fields}
