"""Which web pages may talk to this server from a visitor's browser.

A browser lets any page open a WebSocket or post a form to any address, so the server
compares the page's Origin with its own host. Programs that are no browsers send none.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Tell whether a page may use the server.

    Args:
        origin: the Origin header; None when the client is no browser.
        host: the Host header, as the client addressed the server.
        allowed: further origins, lower case; "*" stands for all.
    """
    if origin is None or "*" in allowed or origin.lower() in allowed:
        return True
    page, server = _hostname(origin), _hostname(f"//{host}")
    if page is None or server is None:
        return False
    return page == server or (page in _LOOPBACK and server in _LOOPBACK)


def host_is_certain(host: str | None) -> bool:
    """Tell whether no stranger's page can have this Host header.

    A name with a dot may be a stranger's, made to point here once his page was loaded (DNS
    rebinding), and that page is then of the same host. Addresses and names of the local network
    can't be.
    """
    name = _hostname(f"//{host or ''}")
    if name is None:
        return False
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(".local")
    return True


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
