"""What every page is told by the benchmark that starts it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """The model, the place to listen, and which setting of the peer to take."""

    model: Path
    port: int
    setting: str  # "default", or one of the settings in harness/catalogue.py
    deadline_ms: float  # answers older than this are of no use
    wait_ms: float  # a request that waited longer can't be in time any more


def read_options() -> Options:
    """Read PEER_MODEL, PEER_PORT, PEER_SETTING, PEER_DEADLINE_MS and PEER_WAIT_MS.

    The environment, because several peers start their workers themselves and hand on
    nothing else.
    """
    told = os.environ  # noqa: TID251
    return Options(
        Path(told["PEER_MODEL"]),
        int(told.get("PEER_PORT", "8000")),
        told.get("PEER_SETTING", "default"),
        float(told.get("PEER_DEADLINE_MS", "300")),
        float(told.get("PEER_WAIT_MS", "200")),
    )
