"""Lets welcome pages read answers from a browser, and turns the others' requests away."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline_backend.handlers import error_response
from sightline_backend.origins import origin_allowed
from sightline_backend.settings import Settings

_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PATCH, DELETE",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
}


class SameHostCors:
    """CORS by the rule of `origins`: pages of the server's own host on any port, and those
    of the settings. Starlette's own knows only fixed lists.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._allowed = settings.allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, pass a welcome page's request on, refuse the rest."""
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if origin is None:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not origin_allowed(origin, headers.get("host"), self._allowed):
            message = (
                f"Pages of {origin[:100]} may not use this server; "
                "SIGHTLINE_ALLOWED_ORIGINS lets them."
            )
            refusal = error_response(403, "origin_refused", message)
            await refusal(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["access-control-allow-origin"] = origin
                answer.add_vary_header("origin")
            await send(message)

        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, send_allowed)
            return
        await self._app(scope, receive, send_allowed)
