"""Loading and unloading at a real tritonserver, with models of a few lines."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sightline_engines.errors import DeployError, EngineAwayError, SightlineError
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.config import read_config
from sightline_engines.triton.control import LOADED, Control
from sightline_engines.triton.errors import ModelGoneError
from sightline_engines.triton.facts import IndexEntry
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.override import overridden
from sightline_engines.triton.probe import probe
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import TritonServer
from tests.triton.environment import TritonEnvironment

MODEL = """
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(one, "IN").as_numpy() for one in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", one + 1)]) for one in given]
"""
TENSORS = """
max_batch_size: 8
input [{name: "IN" data_type: TYPE_FP32 dims: [4]}]
output [{name: "OUT" data_type: TYPE_FP32 dims: [4]}]
"""
ENSEMBLE = """
platform: "ensemble"
ensemble_scheduling {step [{model_name: "%s" model_version: -1
  input_map {key: "IN" value: "IN"} output_map {key: "OUT" value: "OUT"}}]}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A server with the models `add` and `other`, two ensembles over `add`, and broken ones."""

    server: TritonServer
    repository: Repository
    client: Client
    control: Control

    def state(self, name: str) -> str:
        """Return the state of a model of one version."""
        found = [one for one in self.control.states() if one.name == name]
        return found[-1].state if found else "unknown"


@pytest.fixture(scope="module")
def site(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("control")
    repository = Repository(folder / "models")
    for name in ("add", "other"):
        repository.place(name, {"config.pbtxt": f'backend: "python"{TENSORS}', "1/model.py": MODEL})
    for name in ("one", "two"):
        repository.place(name, {"config.pbtxt": ENSEMBLE % "add" + TENSORS, "1/.keep": ""})
    repository.place(
        "broken", {"config.pbtxt": f'backend: "python"{TENSORS}', "1/model.py": "import no_such"}
    )
    repository.place("scrawl", {"config.pbtxt": "max_batch_size: {", "1/model.py": MODEL})
    with (
        TritonServer(triton_environment.options(repository.folder), folder / "log") as server,
        open_client(TritonOptions(server.grpc_url, timeout_s=20.0)) as client,
    ):
        yield Site(server, repository, client, Control(client, repository))


@pytest.mark.parametrize(
    ("name", "said"),
    [("nothing", "nothing"), ("scrawl", "scrawl"), ("broken", "no_such")],
)
def test_what_cannot_be_loaded_says_why(site: Site, name: str, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        site.control.load(name)
    assert site.state(name) != "READY"


def test_an_ensemble_leaves_with_its_parts_unless_others_need_them(site: Site) -> None:
    for name in ("add", "one", "two"):  # one that was loaded by name doesn't leave by itself
        site.control.load(name)
    site.control.unload("one")
    assert (site.state("one"), site.state("add")) == ("UNAVAILABLE", "READY")
    assert probe(site.client, "two").ok
    site.control.unload("two")
    assert site.state("add") == "UNAVAILABLE"
    site.control.unload("two")  # what is gone already is no error


def test_what_was_unloaded_on_purpose_is_known_until_it_is_loaded(site: Site) -> None:
    assert not site.control.unloaded_on_purpose("other")
    site.control.load("other")
    site.control.unload("other")
    assert site.control.unloaded_on_purpose("other")
    site.control.load("other")
    assert not site.control.unloaded_on_purpose("other")
    site.control.unload_all(["other"])
    assert not site.control.unloaded_on_purpose("other")


def test_a_load_ends_what_somebody_loaded_with_a_config_of_their_own(site: Site) -> None:
    from tritonclient.grpc import InferenceServerClient

    site.control.load("add")
    port = {"data_type": "TYPE_FP32", "dims": [4]}
    theirs = {
        "backend": "python",
        "max_batch_size": 3,
        "input": [{"name": "IN", **port}],
        "output": [{"name": "OUT", **port}],
    }
    with InferenceServerClient(site.server.grpc_url) as other:
        other.load_model("add", config=json.dumps(theirs))
    site.client.load("add")  # a plain load keeps it
    assert site.client.config("add").max_batch_size == 3
    with pytest.raises(DeployError, match="max_batch_size"):  # as where the files can't be touched
        _Untouched(site.client, site.repository).load("add")
    site.control.load("add")
    assert site.client.config("add").max_batch_size == 8


def test_a_dead_python_process_is_ready_and_is_replaced_by_a_load(site: Site) -> None:
    site.control.load("add")
    assert probe(site.client, "add").ok
    for stub in _stubs(site.server, "add"):
        os.kill(stub, signal.SIGKILL)
    assert site.state("add") == "READY"
    found = probe(site.client, "add")
    assert not found.ok
    assert "not healthy" in found.error
    site.control.load("add")
    assert probe(site.client, "add").ok


def test_a_model_that_never_was_cannot_be_unloaded(site: Site) -> None:
    with pytest.raises(DeployError, match="knows no model 'cars'"):
        site.control.unload("cars")


def test_loads_and_unloads_at_once_end_in_a_state_that_the_last_one_made(site: Site) -> None:
    failed: list[SightlineError] = []

    def attempt(change: Callable[[str], None]) -> None:
        try:
            change("add")
        except SightlineError as error:
            failed.append(error)

    changes = (site.control.load, site.control.unload, Control(site.client, site.repository).load)
    threads = [threading.Thread(target=attempt, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who waits for READY while another one unloads may be told that it isn't; nobody hangs.
    assert all(isinstance(error, DeployError) for error in failed)
    site.control.load("add")
    assert probe(site.client, "add").ok


def test_requests_in_hand_are_answered_before_a_model_goes(site: Site) -> None:
    site.control.load("other")
    given = {"IN": np.zeros((1, 4), np.float32)}
    asked = [site.client.start("other", given, timeout_s=20.0) for _ in range(50)]
    site.control.unload("other")
    ends = [_end(future) for future in asked]
    assert set(ends) <= {"answered", "engine_away"}
    assert "answered" in ends
    assert not any(one.name == "other" and one.state in LOADED for one in site.control.states())


class _Slowly(Control):
    """Asks a Triton that is too slow to say what an ensemble is made of."""

    def __init__(self, repository: Repository, error: EngineAwayError) -> None:
        super().__init__(self, repository)  # type: ignore[arg-type]  # its own client
        self.error, self.asked = error, list[str]()

    def config(self, name: str) -> None:
        raise self.error

    def index(self, _timeout_s: float | None = None) -> tuple[IndexEntry, ...]:
        return (IndexEntry("webcam", "1", "UNAVAILABLE", "unloaded"),)

    def unload(self, name: str, *rest: Any) -> None:  # type: ignore[override]
        if rest and rest[0] is False:  # as of the client
            self.asked.append(name)
        else:
            super().unload(name)


def test_an_unload_that_fails_is_not_noted_as_done(tmp_path: Path) -> None:
    (tmp_path / "webcam").mkdir()
    busy = _Slowly(Repository(tmp_path), EngineAwayError("late: a busy second"))
    with pytest.raises(EngineAwayError, match="busy"):
        busy.unload("webcam")
    assert (busy.asked, busy.unloaded_on_purpose("webcam")) == ([], False)
    gone = _Slowly(Repository(tmp_path), ModelGoneError("no such model"))
    gone.unload("webcam")
    assert (gone.asked, gone.unloaded_on_purpose("other", "webcam")) == (["webcam"], True)


def test_a_server_that_is_away_is_told_as_such(site: Site) -> None:
    with open_client(TritonOptions("127.0.0.1:9", timeout_s=1.0)) as client:
        control = Control(client)
        for change in (control.load, control.unload):
            with pytest.raises(EngineAwayError, match=r"127\.0\.0\.1:9"):
                change("add")
        found = probe(client, "add")
    assert not found.ok


@pytest.mark.parametrize(
    ("file", "served", "field"),
    [
        ("", "", None),
        ("", "max_batch_size: 8", None),
        ("max_batch_size: 8", "max_batch_size: 8 backend: 'python'", None),
        ("max_batch_size: 8", "", "max_batch_size"),
        ("input [{name: 'a'}]", "input [{name: 'a' dims: [3]}]", None),
        ("input [{name: 'a' dims: [3]}]", "input [{name: 'a' dims: [4]}]", "input.dims"),
        ("input [{name: 'a'}]", "input [{name: 'a'}, {name: 'b'}]", "input"),
        (
            "parameters {key: 'k' value {string_value: 'x'}}",
            "parameters {key: 'k' value {string_value: 'y'}}",
            "parameters k.string_value",
        ),
        ("parameters {key: 'k' value {string_value: 'x'}}", "", "parameters k"),
        ("dynamic_batching {}", "dynamic_batching {preferred_batch_size: [4]}", None),
        (
            "dynamic_batching {preferred_batch_size: [4, 8]}",
            "dynamic_batching {preferred_batch_size: [4]}",
            "dynamic_batching.preferred_batch_size",
        ),
    ],
)
def test_only_what_a_file_says_can_be_overridden(file: str, served: str, field: str | None) -> None:
    assert overridden(read_config(file), read_config(served)) == field


class _Untouched(Control):
    def _touch(self, name: str) -> None:
        pass


def _stubs(server: TritonServer, name: str) -> list[int]:
    """Return the Python processes of a model, once they are there."""
    for _ in range(100):
        found = [
            child.pid
            for child in psutil.Process(server.pid).children(recursive=True)
            if any(f"/{name}/" in word for word in child.cmdline())
        ]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} has no process")


def _end(future: Any) -> str:
    try:
        future.result(30)
    except SightlineError as error:
        return error.code
    return "answered"


def test_a_repository_that_leads_out_is_refused(tmp_path: Path, site: Site) -> None:
    with pytest.raises(SightlineError):
        Control(site.client, Repository(tmp_path)).load("../models/add")
