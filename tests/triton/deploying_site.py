"""A real tritonserver to deploy to, askers, and deployments that go wrong."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from sightline_engines.errors import SightlineError
from sightline_engines.recognise import recognise
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.control import LOADED, Control
from sightline_engines.triton.deployer import Deployer
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.probe import probe, sample
from sightline_engines.triton.repository import Repository, RepositoryError
from sightline_engines.triton.server import TritonServer
from sightline_engines.triton.source import Source
from sightline_engines.types import ModelSpec
from tests.engines.tiny import constant_model
from tests.triton.environment import TritonEnvironment

NAMES = ("webcam", "webcam_tensors")


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A server, and who deploys there."""

    server: TritonServer
    deployments: Deployments
    client: Client
    control: Control
    deployer: Deployer
    spec: ModelSpec

    @property
    def loaded(self) -> set[str]:
        """The models that take memory."""
        return {one.name for one in self.control.states() if one.state in LOADED}

    def check(self, active: Deployment) -> None:
        """See that a deployment, and nothing else, serves both names."""
        assert self.deployments.active("webcam") == active
        assert self.loaded == {*NAMES, *active.parts}
        for name in NAMES:
            assert self.control.serves(name, active.number)
            assert probe(self.client, name).ok


@contextmanager
def deploying(triton_environment: TritonEnvironment, folder: Path) -> Iterator[Site]:
    """Run a server on an empty repository."""
    repository = Repository(folder / "models")
    repository.folder.mkdir()
    raw = np.array([[8, 8, 24, 24, 0.8, 1]], np.float32)
    path = constant_model(folder / "tiny.onnx", raw, batch="n")
    path.with_suffix(".json").write_text('{"family": "end2end", "labels": ["person", "face"]}')
    spec = replace(recognise(path), name="webcam", version="1")
    with (
        TritonServer(triton_environment.options(repository.folder), folder / "log") as server,
        open_client(TritonOptions(server.grpc_url, timeout_s=20.0)) as client,
    ):
        deployments, control = Deployments(repository), Control(client, repository)
        deployer = Deployer(deployments, control, client)
        yield Site(server, deployments, client, control, deployer, spec)


@contextmanager
def traffic(
    site: Site, threads: int = 4, names: Sequence[str] = NAMES
) -> Iterator[tuple[Counter[tuple[str, str]], list[str]]]:
    """Ask the names all the time; yields the answers by name and version, and the failures."""
    answers: Counter[tuple[str, str]] = Counter()
    failures: list[str] = []
    enough = threading.Event()

    def ask(name: str) -> None:
        given = {one.name: sample(one) for one in site.client.metadata(name).inputs}
        while not enough.wait(0.01):  # two cores have to load models meanwhile
            try:
                answers[name, site.client.infer(name, given).version] += 1
            except SightlineError as error:
                failures.append(f"{name}: {error}")

    askers = [threading.Thread(target=ask, args=(names[i % len(names)],)) for i in range(threads)]
    for one in askers:
        one.start()
    try:
        yield answers, failures
    finally:
        enough.set()
        for one in askers:
            one.join()


def active_of(site: Site) -> Deployment:
    """Return what serves, deploying it where a test runs by itself."""
    active = site.deployments.active("webcam")
    return active or site.deployer.deploy(site.spec, TritonConfig())


def kill(site: Site, name: str) -> None:
    """Kill the Python process of a model, once it is there."""
    stubs: list[int] = []
    while not stubs:
        for one in psutil.Process(site.server.pid).children(recursive=True):
            with suppress(psutil.Error):  # one that was killed before
                if any(f"/{name}/" in word for word in one.cmdline()):
                    stubs.append(one.pid)
    for stub in stubs:
        os.kill(stub, signal.SIGKILL)


class SlowDeployments(Deployments):
    """Makes deployments whose first step takes 1.5 s."""

    def prepare(self, source: Source, config: TritonConfig, **more: Any) -> Deployment:
        made = super().prepare(source, config, **more)
        text = self.repository.read(made.preprocess, "1/model.py") or ""
        slow = (
            "\nimport time\n"
            "class _Slow(TritonPythonModel):\n"
            "    def execute(self, requests):\n"
            "        time.sleep(1.5)\n"
            "        return super().execute(requests)\n"
            "TritonPythonModel = _Slow\n"
        )
        self.repository.put(made.preprocess, "1/model.py", text + slow)
        return made


class FullDeployments(Deployments):
    """A repository whose disk is full from the second switch on."""

    switched = 0

    def point(self, deployment: Deployment) -> None:
        self.switched += 1
        if self.switched > 1:
            raise RepositoryError("no space left")
        super().point(deployment)


class BrokenDeployments(Deployments):
    """Makes deployments whose last step answers every request with an error."""

    def prepare(
        self,
        source: ModelSpec,  # type: ignore[override]
        config: TritonConfig,
        *,
        max_batch: int = 8,
        artefact_id: int | None = None,
        built_from: Path | None = None,
    ) -> Deployment:
        made = super().prepare(source, config, max_batch=max_batch)
        step = (
            "import triton_python_backend_utils as pb_utils\n"
            "class TritonPythonModel:\n"
            "    def execute(self, requests):\n"
            "        return [pb_utils.InferenceResponse([], pb_utils.TritonError('not today'))"
            " for _ in requests]\n"
        )
        self.repository.put(made.postprocess, "1/model.py", step)
        return made
