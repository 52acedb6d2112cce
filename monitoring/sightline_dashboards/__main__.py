"""Write the dashboards as JSON: python -m sightline_dashboards [FOLDER]."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from sightline_dashboards.live import live
from sightline_dashboards.models import models
from sightline_dashboards.objectives import objectives
from sightline_dashboards.resources import resources
from sightline_dashboards.triton import triton

FOLDER = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"


def written() -> dict[str, str]:
    """Return each dashboard's file name and text."""
    boards = (live(), models(), triton(), resources(), objectives())
    return {f"{board.uid}.json": _text(board) for board in boards}


def _text(board: Dashboard) -> str:
    plain: dict[str, Any] = json.loads(JSONEncoder().encode(board))
    for link in plain["links"]:
        del link["placement"]  # the builder hides every link in a menu; these are to be seen
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Write every dashboard into a folder and remove those that are no longer made."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files = written()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for old in folder.glob("sightline-*.json"):
        if old.name not in files:
            old.unlink()
    print(f"{len(files)} dashboards in {folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
