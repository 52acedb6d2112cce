"""The shipped model at a real tritonserver, and its failures."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from sightline_engines.assets import shipped_model
from sightline_engines.recognise import recognise
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.control import Control
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import TritonServer
from sightline_engines.types import ModelSpec
from tests.triton.environment import TritonEnvironment

PATIENCE_S = 20.0  # of calls in tests: the machine may be busy with others


@dataclass(frozen=True, slots=True, eq=False)
class AtTriton:
    """A server with the shipped model deployed, loaded or not."""

    server: TritonServer
    folder: Path
    spec: ModelSpec
    deployment: Deployment
    client: Client

    def options(self, **more: object) -> TritonOptions:
        """Return how the server is reached."""
        values = TritonOptions(self.server.grpc_url, self.server.http_url, timeout_s=PATIENCE_S)
        return replace(values, **more)  # type: ignore[arg-type]

    def load(self, *, pictures: bool = False) -> None:
        """Load the model, and the ensemble that takes pictures."""
        self.client.load(self.deployment.tensors)
        if pictures:
            self.client.load(self.deployment.pictures)

    def unload(self) -> None:
        """Unload the model; parts that were loaded by name don't leave with the ensemble."""
        for name in (self.deployment.tensors, self.deployment.detector):
            self.client.unload(name)

    def reload(self, name: str | None = None) -> None:
        """Load a part, by default the network, anew, as it must be when its process has died."""
        Control(self.client, Repository(self.folder)).load(name or self.deployment.detector)

    def kill_network(self) -> None:
        """Kill the process that runs the network."""
        self.kill(self.deployment.detector)

    def kill(self, name: str) -> None:
        """Kill the process of a part."""
        for process in psutil.Process(self.server.pid).children(recursive=True):
            with suppress(psutil.ZombieProcess):  # one that was killed before
                if any(name in word for word in process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)


@contextmanager
def at_triton(environment: TritonEnvironment, folder: Path) -> Iterator[AtTriton]:
    """Run a server whose repository has the shipped model deployed, and nothing loaded."""
    models = folder / "models"
    models.mkdir()
    spec = recognise(shipped_model())
    deployments = Deployments(Repository(models))
    deployment = deployments.prepare(spec, TritonConfig(warmup=False), max_batch=8)
    deployments.point(deployment)
    with TritonServer(environment.options(models), folder / "server.log") as server:
        options = TritonOptions(server.grpc_url, server.http_url, timeout_s=PATIENCE_S)
        with open_client(options) as client:
            yield AtTriton(server, models, spec, deployment, client)
