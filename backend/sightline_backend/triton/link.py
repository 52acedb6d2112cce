"""The server's Triton: how it is reached, what is known of it, and who may change it."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Self

import structlog

from sightline_backend.errors import NotPossibleError
from sightline_backend.reader import Reader
from sightline_backend.settings import Settings
from sightline_backend.triton.changes import Changes
from sightline_backend.triton.reading import Look, Reading
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.control import Control
from sightline_engines.triton.deployer import Deployer
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.repository import Repository

FRESH_S = 1.0
METRICS_PORT = 8002
GRACE_S = 0.5  # for what a reading does beside waiting for Triton

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Link:
    """What the routes ask; made whether a Triton is configured or not. Use as `async with`.

    Readings are made one at a time on a thread of their own, and shared by all who ask.
    """

    def __init__(self, settings: Settings) -> None:
        self.options: TritonOptions | None = settings.triton
        self.changes = Changes()
        self.last = Reading(trouble="Triton hasn't been asked yet.")
        self._settings = settings
        self._reader = Reader()
        self._reading: asyncio.Task[Reading] | None = None
        self._read_s = float("-inf")
        self._looked = False
        self._opening = threading.Lock()
        self._opened: Client | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the connection, after a moment for what is being changed through it."""
        await self.changes.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._reader.close()
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)

    @property
    def why_not(self) -> str | None:
        """Why there is no Triton; None: there is."""
        if self.options is None:
            return (
                "No Triton is configured: set SIGHTLINE_TRITON_GRPC_URL, such as triton:8001, and "
                "start the server again."
            )
        return None

    @property
    def why_not_deploy(self) -> str | None:
        """Why nothing can be deployed; None: it can."""
        if self.why_not is None and self._settings.triton_repository is None:
            return (
                "Triton's model repository isn't shared with this server: set "
                "SIGHTLINE_TRITON_REPOSITORY to a folder that both have."
            )
        return self.why_not

    @property
    def away(self) -> str | None:
        """What the last look found wrong with a Triton that isn't live; None: it is, or unseen."""
        if self._looked and not self.last.live:
            return self.last.trouble or f"Triton at {self._url} says that it isn't live."
        return None

    @cached_property
    def deployments(self) -> Deployments | None:
        """What is deployed; None: the repository isn't shared."""
        folder = self._settings.triton_repository
        return Deployments(Repository(folder)) if folder is not None and self.options else None

    @property
    def client(self) -> Client:
        """The connection, for any thread; raises NotPossibleError where none is configured."""
        if self.options is None:
            raise NotPossibleError(self.why_not or "")
        with self._opening:
            if self._opened is None:
                self._opened = open_client(self.options)
            return self._opened

    @cached_property
    def control(self) -> Control:
        """Loads and unloads; blocks."""
        return Control(self.client, self.deployments.repository if self.deployments else None)

    @cached_property
    def deployer(self) -> Deployer:
        """Deploys; blocks. Raises NotPossibleError where it can't."""
        if self.deployments is None:
            raise NotPossibleError(self.why_not_deploy or "")
        return Deployer(self.deployments, self.control, self.client)

    async def read(self, *, anew: bool = False) -> Reading:
        """Return how Triton is, a second old at most; never waits longer than its timeout.

        `anew` is for after a change.
        """
        if self.options is None:
            return Reading()
        if anew and self._reading is not None:
            with suppress(Exception):
                await asyncio.shield(self._reading)
            self._read_s = float("-inf")
        if self._reading is None or self._reading.done():
            if time.monotonic() - self._read_s < FRESH_S:
                return self.last
            self._reading = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(self.options.timeout_s + GRACE_S):
                return await asyncio.shield(self._reading)
        except TimeoutError:
            self._note(self._hangs())  # all who only want to know the last look, too
            return self.last

    async def _read(self) -> Reading:
        try:
            found = await self._reader.run(self._look_now)
        except TimeoutError:
            found = self._hangs()
        except Exception as error:  # the outermost loop: whoever asks gets an answer
            log.exception("Triton can't be read")
            found = Reading(trouble=f"Triton's state can't be read: {error}")
        self._note(found)
        self._read_s = time.monotonic()
        return found

    def _note(self, found: Reading) -> None:
        self.last, self._looked = found, True

    def _hangs(self) -> Reading:
        trouble = (
            f"Triton at {self._url}, or the disk with its repository, hangs: its state couldn't be "
            "read in time."
        )
        return replace(self.last, live=False, ready=False, trouble=trouble)

    @property
    def _url(self) -> str:
        return self.options.url if self.options is not None else ""

    @cached_property
    def _look(self) -> Look:
        options = self.options
        timeout_s = options.timeout_s if options else 0.0
        return Look(self.client, self.deployments, self._metrics_url, timeout_s)

    def _look_now(self) -> Reading:
        return self._look.read()

    @property
    def _metrics_url(self) -> str | None:
        if self._settings.triton_metrics_url is not None or self.options is None:
            return self._settings.triton_metrics_url
        address = self.options.url.rpartition("://")[2]
        host = address.rpartition(":")[0] or address
        return f"http://{host}:{METRICS_PORT}/metrics"
