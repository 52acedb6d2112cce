"""The text that Prometheus reads, made once for all who ask within a second."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, generate_latest

from sightline_backend.reader import Reader

FRESH_S = 1.0


class Scrape:
    """Writes a registry down; a crowd of scrapers costs what one does."""

    def __init__(self, registry: CollectorRegistry, reader: Reader) -> None:
        self._registry = registry
        self.reader = reader
        self._text = b""
        self._made_s = float("-inf")

    async def text(self) -> bytes:
        """Return the metrics, a second old at most; raises TimeoutError when they can't be read."""
        return await self.reader.run(self._latest)

    def _latest(self) -> bytes:
        if time.monotonic() - self._made_s > FRESH_S:
            self._text = generate_latest(self._registry)
            self._made_s = time.monotonic()
        return self._text
