"""The client against a real Triton, over both protocols."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sightline_engines.errors import EngineAwayError, EngineError
from sightline_engines.triton.client import (
    Client,
    ModelGoneError,
    TensorFacts,
    TritonError,
    open_client,
)
from sightline_engines.triton.errors import LateError, ModelUnwellError
from sightline_engines.triton.options import Protocol, TritonOptions
from sightline_engines.triton.server import TritonServer
from tests.triton.environment import TritonEnvironment
from tests.triton.peer import peer

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")
MODEL = '''
import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Does what the first string says."""

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        numbers = pb_utils.get_input_tensor_by_name(request, "NUMBERS").as_numpy()
        word = texts[0].decode(errors="replace")
        if word == "fail":
            return pb_utils.InferenceResponse([], pb_utils.TritonError("too bad"))
        if word == "die":
            os.kill(os.getpid(), 9)
        if word == "sleep":
            time.sleep(1)
        if word == "parameters":
            texts = np.array([request.parameters().encode()], object)
        out = pb_utils.Tensor("TEXT_OUT", texts), pb_utils.Tensor("DOUBLED", numbers * 2)
        return pb_utils.InferenceResponse(list(out))
'''
CONFIG = """
backend: "python"
input [{name: "TEXT" data_type: TYPE_STRING dims: [-1]}]
input [{name: "NUMBERS" data_type: TYPE_FP32 dims: [2, -1]}]
output [{name: "TEXT_OUT" data_type: TYPE_STRING dims: [-1]}]
output [{name: "DOUBLED" data_type: TYPE_FP32 dims: [2, -1]}]
instance_group [{kind: KIND_CPU}]
parameters {key: "made_by" value: {string_value: "a test"}}
"""
NUMBERS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Triton:
    """A running server with a client over each protocol."""

    server: TritonServer
    clients: dict[Protocol, Client]

    def options(self, protocol: Protocol, timeout_s: float = 20.0) -> TritonOptions:
        """Return how it is reached."""
        return TritonOptions(
            self.server.grpc_url, self.server.http_url, protocol, "tensors", timeout_s
        )


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("triton")
    for name in ("obedient", "spare"):
        (folder / "models" / name / "1").mkdir(parents=True)
        (folder / "models" / name / "1" / "model.py").write_text(MODEL)
        (folder / "models" / name / "config.pbtxt").write_text(CONFIG)
    options = triton_environment.options(folder / "models", load=("obedient",))
    with TritonServer(options, folder / "log") as server:
        made = Triton(server, {})
        for protocol in PROTOCOLS:
            made.clients[protocol] = open_client(made.options(protocol))
        try:
            yield made
        finally:
            for client in made.clients.values():
                client.close()


@pytest.fixture(params=PROTOCOLS)
def client(triton: Triton, request: pytest.FixtureRequest) -> Client:
    return triton.clients[request.param]


def texts(*values: bytes) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array


def sent(*values: bytes) -> dict[str, np.ndarray[Any, Any]]:
    return {"TEXT": texts(*values), "NUMBERS": NUMBERS}


def test_what_the_server_and_its_models_are_is_read(client: Client) -> None:
    assert client.live()
    assert client.server_ready()
    server = client.server()
    assert server.name == "triton"
    assert "system_shared_memory" in server.extensions
    assert client.ready("obedient")
    assert not client.ready("spare")
    assert not client.ready("obedient", "7")
    metadata = client.metadata("obedient")
    assert metadata.versions == ("1",)
    assert metadata.inputs[1] == TensorFacts("NUMBERS", "FP32", (2, -1))
    assert metadata.outputs[0] == TensorFacts("TEXT_OUT", "BYTES", (-1,))
    config = client.config("obedient")
    assert config.parameters["made_by"].string_value == "a test"
    assert [tuple(one.dims) for one in config.input] == [(-1,), (2, -1)]
    states = {entry.name: entry.state for entry in client.index()}
    assert states["obedient"] == "READY"


def test_arrays_and_strings_come_back_as_they_went(client: Client) -> None:
    answer = client.infer("obedient", sent(b"hello", b"", "gr\u00fcn".encode()))
    assert answer.arrays["TEXT_OUT"].tolist() == [b"hello", b"", "gr\u00fcn".encode()]
    assert answer.arrays["DOUBLED"].tolist() == (2 * NUMBERS).tolist()
    assert (answer.model, answer.version) == ("obedient", "1")
    one = client.infer("obedient", sent(b"x"), ("DOUBLED",))
    assert set(one.arrays) == {"DOUBLED"}


def test_parameters_reach_the_model(client: Client) -> None:
    answer = client.infer(
        "obedient", sent(b"parameters"), parameters={"conf": "0.3", "most": 3, "all": True}
    )
    told = answer.arrays["TEXT_OUT"][0]
    assert all(part in told for part in (b'"conf":"0.3"', b'"most":3', b'"all":true'))


def test_an_inference_is_begun_without_a_wait_for_those_before(client: Client) -> None:
    futures = [client.start("obedient", sent(b"sleep")) for _ in range(2)]
    assert not any(future.done() for future in futures)
    assert [len(future.result().arrays) for future in futures] == [2, 2]


def test_each_of_several_inferences_gets_its_own_answer(client: Client) -> None:
    futures = [client.start("obedient", sent(str(n).encode())) for n in range(20)]
    found = [future.result().arrays["TEXT_OUT"][0] for future in futures]
    assert found == [str(n).encode() for n in range(20)]


def test_what_was_counted_is_told_in_numbers(client: Client) -> None:
    client.infer("obedient", sent(b"count"))
    (told,) = client.statistics("obedient")
    assert (told["name"], told["version"]) == ("obedient", "1")
    assert told["inference_count"] >= 1
    assert told["inference_stats"]["success"]["ns"] > 0
    assert {one["batch_size"] for one in told["batch_stats"]} == {1}
    assert "obedient" in {one["name"] for one in client.statistics()}


@pytest.mark.parametrize(
    ("ask", "error", "match"),
    [
        (lambda c: c.infer("nobody", {}), ModelGoneError, "unknown model"),
        (lambda c: c.infer("spare", sent(b"x")), ModelGoneError, "spare"),
        (lambda c: c.infer("obedient", sent(b"x"), version="7"), ModelGoneError, "version 7"),
        (lambda c: c.metadata("nobody"), ModelGoneError, "nobody"),
        (lambda c: c.config("nobody"), ModelGoneError, "nobody"),
        (lambda c: c.statistics("nobody"), ModelGoneError, "nobody"),
        (lambda c: c.infer("obedient", sent(b"fail")), TritonError, "too bad"),
        (lambda c: c.infer("obedient", {"TEXT": texts(b"x")}), TritonError, "expected 2"),
        (lambda c: c.infer("obedient", sent(b"x"), ("WHAT",)), TritonError, "WHAT"),
        (
            lambda c: c.infer("obedient", {**sent(b"x"), "NUMBERS": NUMBERS[:1]}),
            TritonError,
            "shape",
        ),
        (lambda c: c.load("nobody"), TritonError, "nobody"),
        (lambda c: c.register_system("r", "/sightline-nothing", 8), TritonError, "shared memory"),
        (lambda c: c.infer("obedient", sent(b"sleep"), timeout_s=0.3), LateError, "0.3 s"),
    ],
)
def test_what_goes_wrong_is_told_apart(
    client: Client, ask: Callable[[Client], object], error: type[EngineError], match: str
) -> None:
    with pytest.raises(error, match=match) as caught:
        ask(client)
    assert type(caught.value) is error


def test_models_are_loaded_and_unloaded(client: Client) -> None:
    client.load("spare")
    assert client.ready("spare")
    client.unload("spare")
    with pytest.raises(ModelGoneError):
        client.infer("spare", sent(b"x"))
    while client.ready("spare") or any(e.state == "UNLOADING" for e in client.index()):
        time.sleep(0.02)


def test_a_server_that_hangs_is_given_up_at_the_deadline_and_answers_again(triton: Triton) -> None:
    pid = triton.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        for client in triton.clients.values():
            with pytest.raises(EngineAwayError, match=r"within 0\.2 s"):
                client.infer("obedient", sent(b"x"), timeout_s=0.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    for client in triton.clients.values():
        assert client.infer("obedient", sent(b"x")).model == "obedient"


def test_a_dead_process_behind_a_model_is_no_error_of_the_request(triton: Triton) -> None:
    client = triton.clients["grpc"]
    with pytest.raises(ModelUnwellError, match="not healthy"):
        client.infer("obedient", sent(b"die"))
    assert client.ready("obedient")  # which is why nobody may rely on it


def test_a_killed_server_fails_what_is_under_way_and_both_clients_find_its_successor(
    triton: Triton,
) -> None:
    def under_way(client: Client) -> list[Any]:
        return [client.start("spare", sent(b"sleep"), timeout_s=5) for _ in range(3)]

    triton.clients["grpc"].load("spare")
    futures = [one for client in triton.clients.values() for one in under_way(client)]
    triton.server.kill()
    for future in futures:
        with pytest.raises(EngineAwayError):
            future.result()
    for client in triton.clients.values():
        with pytest.raises(EngineAwayError, match=r"doesn't answer.*See that it runs"):
            client.live()
    triton.server.restart()
    for client in triton.clients.values():
        until(lambda client=client: _answers(client))  # type: ignore[misc]


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)


def _answers(client: Client) -> bool:
    try:
        return client.live()
    except EngineAwayError:  # gRPC looks for it again once a second at most
        return False


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_closed_client_says_so(triton: Triton, protocol: Protocol) -> None:
    with open_client(triton.options(protocol)) as client:
        assert client.live()
        client.start("obedient", sent(b"x")).result()
    with pytest.raises(EngineAwayError, match="close"):
        client.live()
    with pytest.raises(EngineAwayError, match="close"):
        client.start("obedient", sent(b"x")).result()


@dataclass(slots=True, eq=False)
class Way:
    """A proxy whose connections can go black: they stay open, and nothing passes any more."""

    target: tuple[str, int]
    black: int = 0  # of the connections so far
    made: int = 0

    def pass_on(self, connection: socket.socket) -> None:
        """Forward both ways for as long as the connection isn't black."""
        self.made += 1
        number = self.made
        with socket.create_connection(self.target) as there:
            back = threading.Thread(
                target=self._copy, args=(there, connection, number), daemon=True
            )
            back.start()
            self._copy(connection, there, number)
            back.join()

    def _copy(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if number > self.black:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_connection_that_goes_black_is_replaced_after_one_late_call(
    triton: Triton, protocol: Protocol
) -> None:
    known = triton.options(protocol)
    host, _, port = str(known.grpc_url if protocol == "grpc" else known.http_url).partition(":")
    way = Way((host, int(port)))
    with peer(way.pass_on, read=False) as own:
        address = f"127.0.0.1:{own}"
        with open_client(TritonOptions(address, address, protocol, timeout_s=20)) as client:
            assert client.live()
            way.black = way.made
            with pytest.raises(LateError):
                client.live(0.3)
            assert client.live()


def test_without_an_address_it_says_which_setting_is_missing() -> None:
    with pytest.raises(ValueError, match="triton_http_url"):
        open_client(TritonOptions(grpc_url="there:8001"), "http")
