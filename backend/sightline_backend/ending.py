"""How a live stream can end, as WebSocket close codes (RFC 6455 and IANA's registry).

1001  the server is stopping: connect again, to another one or a little later
1008  the client breaks the rules: garbage again and again, or answers left unread
1009  a message beyond the hard limit (sent by the WebSocket library)
1011  the server failed, or the client answered no ping
1013  all streams are taken: try again later
3008  the client was silent for too long
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a stream ends; `code` None means that the client is gone already."""

    code: int | None
    reason: str  # at most 123 bytes, as the protocol has it
    flush: bool = True  # send what waits first


GONE = Ending(None, "the client left", flush=False)
STOPPING = Ending(1001, "the server is stopping")
GARBAGE = Ending(1008, "too many messages in a row that are no frames and no settings")
UNREAD = Ending(1008, "answers were left unread for too long", flush=False)
BROKEN = Ending(1011, "the server failed; its log says why")
IDLE = Ending(3008, "no frame came for too long")


def full(retry_after_s: float) -> Ending:
    """Return the ending of a stream that found no room."""
    return Ending(1013, f"busy; try again in {retry_after_s:g} s")
