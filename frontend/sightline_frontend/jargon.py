"""What gRPC says of a connection, put plainly; the same as live_component/messages.js."""

from __future__ import annotations

import re

_GRPC = re.compile(
    r"(failed to connect to all addresses|connections to all backends failing"
    r"|DNS resolution failed).*?(?=\. [A-Z]|\.?$)",
    re.IGNORECASE | re.DOTALL,
)
_REASONS = (
    ("refused", "the connection is refused"),
    ("timed? ?out|timeout|deadline", "the connection takes too long"),
    ("dns|resol|name or service", "nobody knows its name"),
    ("no route|unreachable", "no way leads there"),
)


def plainly(text: str) -> str:
    """Return a server's words without what only gRPC's own people understand."""
    return _GRPC.sub(_reason, text)


def jargon(text: str) -> str | None:
    """Return the words as they came, for who wants them; None if `plainly` changes nothing."""
    return None if plainly(text) == text else text


def _reason(said: re.Match[str]) -> str:
    for mark, reason in _REASONS:
        if re.search(mark, said[0], re.IGNORECASE):
            return reason
    return "the connection fails"
