"""The password before every call that changes something."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from fastapi import Depends, Request

from sightline_backend.errors import NotAllowedError
from sightline_backend.origins import host_is_certain
from sightline_backend.service import Running


async def _check(request: Request, service: Running) -> None:
    """Raise NotAllowedError unless the call carries the token that is set, if one is.

    Without one a web page may change things only where it can't be a stranger's.
    """
    token = service.settings.admin_token
    if token is None:
        _check_page(request, service.settings.allowed_origins)
        return
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not secrets.compare_digest(given.encode(), token.get_secret_value().encode()):
        raise NotAllowedError(
            "This server asks for a password before anything is changed: send the header "
            "`Authorization: Bearer …` with the value of SIGHTLINE_ADMIN_TOKEN."
        )


def _check_page(request: Request, allowed: Sequence[str]) -> None:
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if origin is None or host_is_certain(host) or {"*", origin.lower()} & set(allowed):
        return
    raise NotAllowedError(
        f"Pages of {origin[:100]} may not change this server: any page can be given such a name. "
        "Set SIGHTLINE_ADMIN_TOKEN, or name the page in SIGHTLINE_ALLOWED_ORIGINS."
    )


Admin = Depends(_check)  # dependencies=[Admin] on a route
