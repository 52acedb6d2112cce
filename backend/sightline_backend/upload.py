"""The body of a request on its way to the store's disk."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from sightline_backend.store.models import ModelStore

_WRITE_BYTES = 2**20  # that gather before a thread is asked to write them


@asynccontextmanager
async def received(
    request: Request, filename: str, store: ModelStore, most_bytes: int, too_large: str
) -> AsyncIterator[Path]:
    """Write a request's body to the store's disk; gone at the block's end unless it was moved.

    Raises HTTPException for one that is too long, saying `too_large`, or that ends early, and
    StoreError for want of room, in the block too.
    """
    incoming = store.incoming()
    folder = await asyncio.to_thread(incoming.__enter__)
    try:
        path = folder / filename
        with path.open("wb") as file:
            await _write(request, file, most_bytes, too_large)
        yield path
    finally:
        # In a thread: an unpacked data set takes seconds to delete. Whoever is cancelled
        # meanwhile still leaves nothing behind.
        left = asyncio.to_thread(incoming.__exit__, *sys.exc_info())
        await asyncio.shield(left)


async def _write(request: Request, file: BinaryIO, most_bytes: int, too_large: str) -> None:
    arrived, waiting = 0, bytearray()
    try:
        async for chunk in request.stream():
            arrived += len(chunk)
            if arrived > most_bytes:
                raise HTTPException(413, too_large)
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await asyncio.to_thread(file.write, bytes(waiting))
                waiting.clear()
    except ClientDisconnect:
        raise HTTPException(400, "The file ended early; nothing of it was kept.") from None
    await asyncio.to_thread(file.write, bytes(waiting))
