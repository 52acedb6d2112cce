"""The event loop that the server runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run until it is done, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:  # not built for this system
        asyncio.run(main)
    else:
        uvloop.run(main)
