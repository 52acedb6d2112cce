"""Triton over gRPC."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from sightline_engines.errors import EngineError, ProviderError
from sightline_engines.triton.errors import UnfitAnswerError, answered, away, late
from sightline_engines.triton.tensors import Message

_MOST_BYTES = 2**31 - 1
# Left to itself gRPC waits up to two minutes before it looks again for a server that was killed.
_LOOK_AGAIN = {"initial": 200, "min": 200, "max": 1000}
_BROKEN = re.compile(r"RST_STREAM|stream removed|goaway|socket closed|connection reset", re.I)
_CONNECT_S = 20.0  # for as long gRPC tries to connect before it begins anew by itself


class GrpcWire:
    """Calls a server's gRPC methods; any thread may, several at once.

    After a call that had no answer in time the next ones go by a new connection: of one whose
    packets are lost on the way gRPC learns only after minutes, or never.
    """

    def __init__(self, url: str) -> None:
        _import()
        self.url = url
        self._lock = threading.Lock()
        self._closed = False
        self._line = _Line(url)
        self._older: list[_Line] = []  # that still have calls under way

    def call(self, method: str, request: Message, timeout_s: float) -> Message:
        """Return the answer; raises what `Client` does."""
        import grpc

        line = self._taken()
        try:
            answer = getattr(line.stub, method)(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._failure(error, timeout_s, line) from None
        except ValueError as error:  # the channel is closed
            raise away(self.url, str(error)) from None
        else:
            line.answered = True
            return answer
        finally:
            self._given_back(line)

    def start(
        self, request: Message, timeout_s: float, convert: Callable[[Message], Any]
    ) -> Future[Any]:
        """Ask for an inference; what `convert` makes of the answer comes by the future."""
        import grpc

        outcome: Future[Any] = Future()
        line = self._taken()

        def ended(call: Any) -> None:
            self._given_back(line)
            try:
                answer = call.result()
                line.answered = True
                outcome.set_result(convert(answer))
            except grpc.RpcError as error:
                outcome.set_exception(self._failure(error, timeout_s, line))
            except grpc.FutureCancelledError:
                outcome.set_exception(away(self.url, "the client was closed"))
            except EngineError as error:
                outcome.set_exception(error)
            except Exception as error:  # the outermost frame here: who waits must hear of it
                outcome.set_exception(
                    UnfitAnswerError(f"Triton's answer can't be read: {error!r}.")
                )

        try:
            line.stub.ModelInfer.future(request, timeout=timeout_s).add_done_callback(ended)
        except ValueError as error:
            self._given_back(line)
            outcome.set_exception(away(self.url, str(error)))
        return outcome

    def close(self) -> None:
        """End the connection; what is under way fails."""
        with self._lock:
            self._closed = True
            lines, self._older = [self._line, *self._older], []
        for line in lines:
            line.channel.close()

    def _taken(self) -> _Line:
        """Return the connection to call by, a new one where the last seems to lead nowhere."""
        unused = None
        with self._lock:
            if self._line.late and not self._closed:
                if self._line.under_way:
                    self._older.append(self._line)
                else:
                    unused = self._line
                self._line = _Line(self.url)
            self._line.under_way += 1
            line = self._line
        if unused is not None:
            unused.channel.close()
        return line

    def _given_back(self, line: _Line) -> None:
        with self._lock:
            line.under_way -= 1
            if line.under_way or line not in self._older:
                return
            self._older.remove(line)
        # Not on gRPC's own thread, which may hold the channel's lock.
        threading.Thread(target=line.channel.close, name="triton-close", daemon=True).start()

    def _failure(self, error: Any, timeout_s: float, line: _Line) -> EngineError:
        status, said = error.code().name, error.details() or ""
        if status == "DEADLINE_EXCEEDED":
            # One that is still connecting is left to it, however short the deadlines are.
            line.late = line.answered or time.monotonic() - line.began_s > _CONNECT_S
            return late(self.url, timeout_s)
        found = answered(self.url, status, said)
        if status in ("UNAVAILABLE", "CANCELLED") or _BROKEN.search(said):
            plain = type(found) is not EngineError and found.code in ("engine_away", "busy")
            return found if plain else away(self.url, said or status.lower())
        return found


class _Line:
    """One connection."""

    def __init__(self, url: str) -> None:
        grpc, stubs = _import()
        self.channel = grpc.insecure_channel(
            url,
            options=[
                ("grpc.max_send_message_length", _MOST_BYTES),
                ("grpc.max_receive_message_length", _MOST_BYTES),
                # A channel of its own: one client's close is nobody else's.
                ("grpc.use_local_subchannel_pool", 1),
                *((f"grpc.{k}_reconnect_backoff_ms", v) for k, v in _LOOK_AGAIN.items()),
            ],
        )
        self.stub = stubs.GRPCInferenceServiceStub(self.channel)
        self.began_s = time.monotonic()
        self.under_way = 0
        self.answered = False
        self.late = False  # a call had no answer in time


def _import() -> tuple[Any, Any]:
    try:
        import grpc
        from tritonclient.grpc import service_pb2_grpc
    except ImportError as error:
        raise ProviderError(
            f"Triton over gRPC needs a library that isn't installed ({error.name}): install "
            "sightline-engines[triton]."
        ) from error
    return grpc, service_pb2_grpc
