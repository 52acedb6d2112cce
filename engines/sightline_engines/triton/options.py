"""How a Triton server is reached and asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Protocol: TypeAlias = Literal["grpc", "http"]
Transport: TypeAlias = Literal["tensors", "pictures", "system_shm", "cuda_shm"]


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """Addresses are host:port, as tritonclient takes them; at least the protocol's own is set."""

    grpc_url: str | None = None
    http_url: str | None = None
    protocol: Protocol = "grpc"
    transport: Transport = "tensors"
    timeout_s: float = 2.0  # of each call
    fallback: Literal["auto", "onnxruntime", "openvino"] | None = None  # while Triton is away

    @property
    def url(self) -> str:
        """The address that is asked."""
        url = self.grpc_url if self.protocol == "grpc" else self.http_url
        if url is None:
            raise ValueError(f"no address for {self.protocol}")
        return url
