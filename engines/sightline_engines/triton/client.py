"""A client of one Triton server, over gRPC or HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self

from sightline_engines.errors import EngineAwayError
from sightline_engines.triton.address import host_and_port
from sightline_engines.triton.errors import ModelGoneError, TritonError
from sightline_engines.triton.facts import (
    Answer,
    Array,
    IndexEntry,
    ModelMetadata,
    Parameters,
    ServerFacts,
    TensorFacts,
)
from sightline_engines.triton.options import Protocol as ProtocolName
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.tensors import (
    Message,
    SharedInput,
    SharedOutput,
    answer_of,
    infer_request,
)

__all__ = [
    "Answer",
    "Client",
    "EngineAwayError",
    "IndexEntry",
    "ModelGoneError",
    "ModelMetadata",
    "ServerFacts",
    "SharedInput",
    "SharedOutput",
    "TensorFacts",
    "TritonError",
    "open_client",
]

LOAD_S = 120.0  # a plan of a large model takes that long on a cold disk


class Wire(Protocol):
    """A protocol's way to a server; its methods are named as gRPC names them."""

    url: str

    def call(self, method: str, request: Message, timeout_s: float) -> Message:
        """Return the answer to a request."""
        ...

    def start(self, request: Message, timeout_s: float, convert: Any) -> Future[Any]:
        """Begin an inference."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def open_client(options: TritonOptions, protocol: ProtocolName | None = None) -> Client:
    """Return a client by the options' protocol, or by the one named; connects at its first call.

    Raises ProviderError where the library is missing or the address is none, ValueError without
    an address.
    """
    chosen = protocol or options.protocol
    url = options.grpc_url if chosen == "grpc" else options.http_url
    if not url:
        raise ValueError(f"no address for {chosen}: set triton_{chosen}_url, such as triton:8001")
    address = host_and_port(url, chosen)
    match chosen:
        case "grpc":
            from sightline_engines.triton.over_grpc import GrpcWire

            return Client(GrpcWire(address), options.timeout_s)
        case "http":
            from sightline_engines.triton.over_http import HttpWire

            return Client(HttpWire(address), options.timeout_s)


class Client:
    """Asks one server; any thread may, several at once.

    Each call has a deadline (`timeout_s`; None: the options') and is made once. All raise
    EngineAwayError where the server can't be reached, isn't in time or can't run the model at the
    moment, ModelGoneError (one of those) where it doesn't have the model, TritonError where it
    answers with an error.
    """

    def __init__(self, wire: Wire, timeout_s: float) -> None:
        from tritonclient.grpc import service_pb2

        self._wire = wire
        self._timeout_s = timeout_s
        self._messages = service_pb2

    @property
    def url(self) -> str:
        """Host and port of the server."""
        return self._wire.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; what is under way fails."""
        self._wire.close()

    def live(self, timeout_s: float | None = None) -> bool:
        """Tell whether the server says that it runs."""
        return bool(self._call("ServerLive", timeout_s).live)

    def server_ready(self, timeout_s: float | None = None) -> bool:
        """Tell whether the server says that it takes inferences."""
        return bool(self._call("ServerReady", timeout_s).ready)

    def ready(self, model: str, version: str = "", timeout_s: float | None = None) -> bool:
        """Tell whether the server says that a model can run, which it says of a dead one, too."""
        try:
            return bool(self._call("ModelReady", timeout_s, name=model, version=version).ready)
        except ModelGoneError:
            return False

    def server(self, timeout_s: float | None = None) -> ServerFacts:
        """Return what the server is."""
        found = self._call("ServerMetadata", timeout_s)
        return ServerFacts(found.name, found.version, tuple(found.extensions))

    def metadata(
        self, model: str, version: str = "", timeout_s: float | None = None
    ) -> ModelMetadata:
        """Return what a model takes and gives."""
        found = self._call("ModelMetadata", timeout_s, name=model, version=version)
        inputs, outputs = (
            tuple(TensorFacts(one.name, one.datatype, tuple(one.shape)) for one in side)
            for side in (found.inputs, found.outputs)
        )
        return ModelMetadata(found.name, tuple(found.versions), found.platform, inputs, outputs)

    def config(self, model: str, version: str = "", timeout_s: float | None = None) -> Message:
        """Return a model's config as it is in force, a `model_config_pb2.ModelConfig`."""
        return self._call("ModelConfig", timeout_s, name=model, version=version).config

    def infer(  # noqa: PLR0913  each is a part of Triton's request
        self,
        model: str,
        inputs: Mapping[str, Array | SharedInput],
        outputs: Sequence[str | SharedOutput] = (),
        *,
        version: str = "",
        parameters: Parameters | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Run a model once; arrays of objects hold bytes. No `outputs`: all."""
        request = infer_request(model, inputs, outputs, version, parameters)
        limit_s = timeout_s or self._timeout_s
        return answer_of(self._wire.call("ModelInfer", request, limit_s), outputs)

    def start(  # noqa: PLR0913  as above
        self,
        model: str,
        inputs: Mapping[str, Array | SharedInput],
        outputs: Sequence[str | SharedOutput] = (),
        *,
        version: str = "",
        parameters: Parameters | None = None,
        timeout_s: float | None = None,
    ) -> Future[Answer]:
        """Begin what `infer` does; several may be under way. The future raises what it raises."""
        request = infer_request(model, inputs, outputs, version, parameters)
        limit_s = timeout_s or self._timeout_s
        return self._wire.start(request, limit_s, lambda found: answer_of(found, outputs))

    def load(self, model: str, timeout_s: float = LOAD_S) -> None:
        """Have the server load a model, or load it anew; returns when it has."""
        self._call("RepositoryModelLoad", timeout_s, model_name=model)

    def unload(self, model: str, dependents: bool = False, timeout_s: float | None = None) -> None:
        """Have the server unload a model, and what an ensemble is made of; it does so by and by."""
        request = self._messages.RepositoryModelUnloadRequest(model_name=model)
        request.parameters["unload_dependents"].bool_param = dependents
        self._wire.call("RepositoryModelUnload", request, timeout_s or self._timeout_s)

    def index(self, timeout_s: float | None = None) -> tuple[IndexEntry, ...]:
        """Return what is in the repository, loaded or not."""
        found = self._call("RepositoryIndex", timeout_s).models
        return tuple(IndexEntry(one.name, one.version, one.state, one.reason) for one in found)

    def statistics(
        self, model: str = "", version: str = "", timeout_s: float | None = None
    ) -> list[dict[str, Any]]:
        """Return what was counted of each version, as the server's JSON has it; times in ns."""
        from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

        found = self._call("ModelStatistics", timeout_s, name=model, version=version)
        told = MessageToDict(
            found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return [_numbers(one) for one in told["model_stats"]]

    def register_system(
        self, region: str, key: str, byte_size: int, timeout_s: float | None = None
    ) -> None:
        """Tell the server of POSIX shared memory; `key` is its name with the slash."""
        self._call(
            "SystemSharedMemoryRegister", timeout_s, name=region, key=key, byte_size=byte_size
        )

    def register_cuda(
        self,
        region: str,
        handle: bytes,
        device: int,
        byte_size: int,
        timeout_s: float | None = None,
    ) -> None:
        """Tell the server of a GPU's memory by its IPC handle."""
        self._call(
            "CudaSharedMemoryRegister",
            timeout_s,
            name=region,
            raw_handle=handle,
            device_id=device,
            byte_size=byte_size,
        )

    def unregister(self, region: str, cuda: bool = False, timeout_s: float | None = None) -> None:
        """Have the server forget a region; one that it doesn't know is no error."""
        kind = "Cuda" if cuda else "System"
        self._call(f"{kind}SharedMemoryUnregister", timeout_s, name=region)

    def regions(self, cuda: bool = False) -> tuple[str, ...]:
        """Return the names of the regions that the server knows."""
        kind = "Cuda" if cuda else "System"
        return tuple(self._call(f"{kind}SharedMemoryStatus", None).regions)

    def _call(self, method: str, timeout_s: float | None, **fields: object) -> Message:
        request = getattr(self._messages, method + "Request")(**fields)
        return self._wire.call(method, request, timeout_s or self._timeout_s)


def _numbers(value: Any, name: str = "") -> Any:
    """Return JSON with numbers as such: protobuf writes those of 64 bits as strings."""
    match value:
        case dict():
            return {key: _numbers(one, key) for key, one in value.items()}
        case list():
            return [_numbers(one, name) for one in value]
        case str() if value.isdigit() and name not in ("name", "version"):
            return int(value)
        case _:
            return value
