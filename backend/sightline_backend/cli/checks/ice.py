"""Whether WebRTC can find a way: this machine's addresses, and the STUN and TURN servers."""

from __future__ import annotations

import re

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sightline_backend.cli.banner import lan_addresses
from sightline_backend.cli.checks import stun
from sightline_backend.cli.checks.check import Check, fail, ok, warn

_URL = re.compile(r"(stuns?|turns?):(\[[^\]]+\]|[^:?]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?")
_EXAMPLE = '[{"urls": "turn:turn.example.org:3478", "username": "u", "credential": "p"}]'
_DIRECT = "The direct way on the Live page needs none of this."


class IceServer(BaseModel):
    """One entry, spelled as browsers spell it."""

    urls: str | list[str]


class IceSettings(BaseSettings):
    """The one setting of the pages that matters here."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_", extra="ignore")

    ice_servers: tuple[IceServer, ...] = ()


def check_ice() -> list[Check]:
    """Check this machine's addresses and every server that SIGHTLINE_ICE_SERVERS names."""
    from pydantic_settings import SettingsError

    try:
        servers = IceSettings().ice_servers
    except (ValidationError, SettingsError):
        mend = f"Write a JSON list such as {_EXAMPLE}"
        return [check_addresses(), fail("ice servers", "SIGHTLINE_ICE_SERVERS is wrong", mend)]
    urls = [u for s in servers for u in ([s.urls] if isinstance(s.urls, str) else s.urls)]
    if not urls:
        none = ok(
            "ice servers",
            "none set: WebRTC connects on this machine and within its network. From elsewhere "
            f"it needs a TURN server in SIGHTLINE_ICE_SERVERS. {_DIRECT}",
        )
        return [check_addresses(), none]
    return [check_addresses(), *map(check_server, urls)]


def check_addresses() -> Check:
    """WebRTC leaves 127.0.0.1 out, so there must be another address."""
    addresses = lan_addresses()
    if addresses:
        return ok("ice addresses", f"WebRTC offers {', '.join(addresses)}")
    mend = f"Connect this machine to a network. {_DIRECT}"
    return warn("ice addresses", "there is only 127.0.0.1, which WebRTC doesn't use", mend)


def check_server(url: str) -> Check:
    """Ask a STUN or TURN server for an answer; its name and password are not tried."""
    match = _URL.fullmatch(url)
    if match is None:
        mend = f"Write it like stun:host:3478 or turn:host:3478?transport=tcp, as in {_EXAMPLE}"
        return fail(f"ice {url[:60]}", "it is no STUN or TURN address", mend)
    scheme, host, port = match[1], match[2].strip("[]"), match[3]
    tls = scheme.endswith("s")
    if tls:
        return warn(f"ice {url}", "TLS servers are not asked here", "Try it on the Live page.")
    if stun.answers(host, int(port or 3478), tcp=match[4] == "tcp"):
        said = "it answers" + ("; name and password were not tried" if scheme == "turn" else "")
        return ok(f"ice {url}", said)
    mend = f"Check its address and this machine's firewall (UDP {port or 3478}). {_DIRECT}"
    return fail(f"ice {url}", "no answer", mend)
