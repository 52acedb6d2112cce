"""Triton over HTTP: the same messages as over gRPC, as JSON with the tensors behind it.

tritonclient's own HTTP client belongs to the one thread (and the gevent loop) that made it, and
limits each single read, not the call; this one may be called from any thread.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from sightline_engines.errors import ProviderError
from sightline_engines.triton.errors import TritonError, UnfitAnswerError, answered, away, late
from sightline_engines.triton.http_connection import Got, HttpConnection, Sent
from sightline_engines.triton.tensors import Message

_HEADER = "Inference-Header-Content-Length"
_AT_ONCE = 64  # inferences that `start` has under way; further ones wait
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class HttpWire:
    """Calls a server's HTTP addresses; any thread may, several at once."""

    def __init__(self, url: str) -> None:
        try:
            from tritonclient.grpc import service_pb2
        except ImportError as error:  # its messages are what both protocols are told in
            raise ProviderError(
                f"Triton needs a library that isn't installed ({error.name}): install "
                "sightline-engines[triton]."
            ) from error
        self.url = url
        self._messages = service_pb2
        self._idle: deque[HttpConnection] = deque()  # its ends are thread-safe
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    def call(self, method: str, request: Message, timeout_s: float) -> Message:
        """Return the answer; raises what `Client` does."""
        if method == "ModelInfer":
            return self._infer(request, timeout_s, time.monotonic() + timeout_s)
        verb, path, body = _ADDRESSES[method](request)
        data = () if body is None else (json.dumps(body).encode(),)
        end_s = time.monotonic() + timeout_s
        got = self._exchange(Sent(verb, path, data, repeatable=verb == "GET"), timeout_s, end_s)
        answer = getattr(self._messages, method + "Response")()
        if method in ("ServerLive", "ServerReady", "ModelReady"):
            field = {"ServerLive": "live"}.get(method, "ready")
            setattr(answer, field, got.status == HTTPStatus.OK)
            return answer
        self._check(got)
        return _parsed(got.content, method, answer)

    def start(
        self, request: Message, timeout_s: float, convert: Callable[[Message], Any]
    ) -> Future[Any]:
        """Ask for an inference; what `convert` makes of the answer comes by the future."""
        end_s = time.monotonic() + timeout_s  # the wait for a thread counts, too
        try:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_AT_ONCE, "triton-http")
            return self._pool.submit(lambda: convert(self._infer(request, timeout_s, end_s)))
        except RuntimeError:  # it was shut down
            refused: Future[Any] = Future()
            refused.set_exception(away(self.url, "the client is closed"))
            return refused

    def close(self) -> None:
        """End the connections; what is under way ends at its deadline."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._drop_idle()

    def _infer(self, request: Message, timeout_s: float, end_s: float) -> Message:
        head = json.dumps(_infer_head(request)).encode()
        path = f"{_model(request.model_name, request.model_version)}/infer"
        body = (head, *request.raw_input_contents)
        headers = {_HEADER: str(len(head)), "Content-Type": "application/octet-stream"}
        got = self._exchange(Sent("POST", path, body, headers, repeatable=True), timeout_s, end_s)
        self._check(got)
        return _infer_response(self._messages, got.content, got.headers.get(_HEADER.lower()))

    def _check(self, got: Got) -> None:
        if got.status != HTTPStatus.OK:
            raise answered(self.url, str(got.status), _reason(got.content))

    def _exchange(self, sent: Sent, timeout_s: float, end_s: float) -> Got:
        """Send a request, return the answer, all before the deadline."""
        # The server ends connections that are idle, and one that ends says nothing of whether it
        # has done what was asked: what must not be done twice goes by a new one.
        idle = self._taken() if sent.repeatable else None
        if idle is not None:
            try:
                return self._asked(idle, sent, timeout_s, end_s)
            except _STALE:
                pass
        try:
            return self._asked(HttpConnection(self.url), sent, timeout_s, end_s)
        except _STALE as error:
            raise away(self.url, str(error) or type(error).__name__) from None

    def _asked(self, connection: HttpConnection, sent: Sent, timeout_s: float, end_s: float) -> Got:
        """Ask by a connection and keep it; raises those of `_STALE` as they come."""
        if self._closed:
            raise away(self.url, "the client is closed")
        try:
            got = connection.ask(sent, end_s)
        except TimeoutError:
            connection.close()
            self._drop_idle()  # they may lead nowhere, too
            raise late(self.url, timeout_s) from None
        except _STALE:
            connection.close()
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:
            connection.close()
            raise away(self.url, str(error) or type(error).__name__) from None
        self._keep(connection)
        return got

    def _keep(self, connection: HttpConnection) -> None:
        self._idle.append(connection)
        if self._closed:
            self._drop_idle()

    def _taken(self) -> HttpConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _drop_idle(self) -> None:
        while (connection := self._taken()) is not None:
            connection.close()


def _reason(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except _UNREADABLE:
        return content[:200].decode(errors="replace")


def _parsed(content: bytes, method: str, answer: Message) -> Message:
    from google.protobuf.json_format import (  # type: ignore[import-untyped]
        ParseDict,
        ParseError,
    )

    try:
        found = json.loads(content) if content else {}
        if method == "RepositoryIndex":
            found = {"models": found}
        elif method == "ModelConfig":
            found = {"config": found}
        elif method.endswith("SharedMemoryStatus"):
            found = {"regions": {one["name"]: one for one in found}}
        return ParseDict(found, answer, ignore_unknown_fields=True)
    except (ParseError, *_UNREADABLE) as error:
        raise TritonError(f"Triton's answer to {method} can't be read: {error}.") from error


def _infer_head(request: Message) -> dict[str, object]:
    """Return the JSON of an inference; its tensors that don't lie in a region come behind it."""
    sizes = iter(len(one) for one in request.raw_input_contents)
    inputs = []
    for one in request.inputs:
        parameters = _parameters(one) or {"binary_data_size": next(sizes)}
        inputs.append(
            {
                "name": one.name,
                "shape": list(one.shape),
                "datatype": one.datatype,
                "parameters": parameters,
            }
        )
    head: dict[str, object] = {"inputs": inputs}
    if request.outputs:
        head["outputs"] = [
            {"name": one.name, "parameters": _parameters(one) or {"binary_data": True}}
            for one in request.outputs
        ]
    parameters = _parameters(request)
    if not request.outputs:
        parameters["binary_data_output"] = True
    if parameters:
        head["parameters"] = parameters
    return head


def _parameters(message: Message) -> dict[str, object]:
    return {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in message.parameters.items()
    }


def _infer_response(messages: Message, content: bytes, head_bytes: str | None) -> Message:
    """Return the ModelInferResponse of an answer over HTTP."""
    try:
        at = len(content) if head_bytes is None else int(head_bytes)
        head = json.loads(content[:at])
        answer = messages.ModelInferResponse(
            model_name=head["model_name"], model_version=str(head.get("model_version", ""))
        )
        for one in head.get("outputs", ()):
            answer.outputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
            size = int(one.get("parameters", {}).get("binary_data_size", 0))
            answer.raw_output_contents.append(content[at : at + size])
            at += size
        return answer
    except _UNREADABLE as error:
        raise UnfitAnswerError(f"Triton's answer can't be read: {error}.") from error


def _model(name: str, version: str) -> str:
    path = f"v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


_Address = tuple[str, str, object]


def _control(request: Message, what: str) -> _Address:
    path = f"v2/repository/models/{quote(request.model_name, safe='')}/{what}"
    return "POST", path, {"parameters": _parameters(request)}


def _region(request: Message, kind: str, what: str, body: object) -> _Address:
    region = f"/region/{quote(request.name, safe='')}" if request.name else ""
    return "GET" if what == "status" else "POST", f"v2/{kind}sharedmemory{region}/{what}", body


def _system(request: Message) -> _Address:
    body = {"key": request.key, "offset": request.offset, "byte_size": request.byte_size}
    return _region(request, "system", "register", body)


def _cuda(request: Message) -> _Address:
    from base64 import b64encode

    handle = {"b64": b64encode(request.raw_handle).decode()}
    body = {
        "raw_handle": handle,
        "device_id": request.device_id,
        "byte_size": request.byte_size,
    }
    return _region(request, "cuda", "register", body)


_ADDRESSES: dict[str, Callable[[Any], _Address]] = {
    "ServerLive": lambda _: ("GET", "v2/health/live", None),
    "ServerReady": lambda _: ("GET", "v2/health/ready", None),
    "ServerMetadata": lambda _: ("GET", "v2", None),
    "ModelReady": lambda r: ("GET", f"{_model(r.name, r.version)}/ready", None),
    "ModelMetadata": lambda r: ("GET", _model(r.name, r.version), None),
    "ModelConfig": lambda r: ("GET", f"{_model(r.name, r.version)}/config", None),
    "ModelStatistics": lambda r: (
        "GET",
        f"{_model(r.name, r.version)}/stats" if r.name else "v2/models/stats",
        None,
    ),
    "RepositoryIndex": lambda _: ("POST", "v2/repository/index", {}),
    "RepositoryModelLoad": lambda r: _control(r, "load"),
    "RepositoryModelUnload": lambda r: _control(r, "unload"),
    "SystemSharedMemoryStatus": lambda r: _region(r, "system", "status", None),
    "SystemSharedMemoryRegister": _system,
    "SystemSharedMemoryUnregister": lambda r: _region(r, "system", "unregister", {}),
    "CudaSharedMemoryStatus": lambda r: _region(r, "cuda", "status", None),
    "CudaSharedMemoryRegister": _cuda,
    "CudaSharedMemoryUnregister": lambda r: _region(r, "cuda", "unregister", {}),
}
