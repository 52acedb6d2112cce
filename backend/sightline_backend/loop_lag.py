"""Watch how late the event loop is: what holds it up holds up every stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_S = 0.1


async def watch_loop(observe: Callable[[float], None]) -> None:
    """Report again and again how many seconds later than asked the loop woke up."""
    loop = asyncio.get_running_loop()
    while True:
        asked_s = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        observe(max(0.0, loop.time() - asked_s))
