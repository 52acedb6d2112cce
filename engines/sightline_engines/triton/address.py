"""Where a Triton server is: a host and a port."""

from __future__ import annotations

import re

from sightline_engines.errors import ProviderError
from sightline_engines.triton.options import Protocol

_ADDRESS = re.compile(
    r"(?P<host>\[[0-9a-f:.]+\]|(?!.*\.\.)[^\s/:@?#\[\]]{1,253}):(?P<port>\d{1,5})", re.I
)
_LAST_PORT = 65535


def host_and_port(url: str, protocol: Protocol) -> str:
    """Return an address as the clients take it; raises ProviderError for what is none.

    It may begin with a scheme. TLS is a proxy's business, never silently left out.
    """
    scheme, separator, rest = url.strip().rpartition("://")
    if separator and scheme.lower() in ("https", "grpcs"):
        raise ProviderError(
            f"{url} asks for TLS, which isn't spoken to Triton here: put a proxy that does beside "
            f"this server and name that, such as {protocol}://localhost:8001."
        )
    address = rest.rstrip("/")
    found = _ADDRESS.fullmatch(address)
    if (
        (separator and scheme.lower() not in ("grpc", "http"))
        or found is None
        or not _port(found["port"])
    ):
        raise ProviderError(
            f"{url!r} is no address of Triton's: name a host and a port, such as triton:8001 "
            f"or {protocol}://triton:8001 (SIGHTLINE_TRITON_{protocol.upper()}_URL)."
        )
    return address


def _port(text: str) -> bool:
    return 0 < int(text) <= _LAST_PORT
