"""Every error as {"error": {"code", "message"}}: the one place that maps them to HTTP."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sightline_backend.errors import Refused, status_of
from sightline_engines.errors import SightlineError

_CODES = {408: "timeout", 413: "too_large"}


def error_response(
    status: int, code: str, message: str, retry_after_s: float | None = None
) -> JSONResponse:
    """Return an error as every route answers it."""
    headers = {} if retry_after_s is None else {"retry-after": str(math.ceil(retry_after_s))}
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Give the app its error answers."""
    app.add_exception_handler(SightlineError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, SightlineError)  # noqa: S101  registered for it alone
    wait_s = None
    if isinstance(error, Refused):
        wait_s = error.retry_after_s
        request.app.state.service.telemetry.turned_away(error.reason)
    return error_response(status_of(error.code), error.code, error.message, wait_s)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    message = "; ".join(_sentence(problem) for problem in error.errors()[:5])
    return error_response(422, "invalid_request", message)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = error.status_code
    message = str(error.detail)
    if status == 404:
        message = f"There is nothing at {request.url.path[:100]}; /docs lists what there is."
    elif status == 405:
        message = f"{request.url.path} doesn't take {request.method}; /docs says what it takes."
    code = _CODES.get(status, HTTPStatus(status).name.lower())
    response = error_response(status, code, message)
    response.headers.update(error.headers or {})
    return response


async def _unexpected(request: Request, _error: Exception) -> Response:
    # The server logs the traceback itself; the client gets none of it but the call's id.
    message = "The server failed on this request; its log says why."
    response = error_response(500, "internal", message)
    response.headers["x-request-id"] = request.state.call.id
    return response


def _sentence(problem: dict[str, Any]) -> str:
    where = [str(part) for part in problem["loc"] if part not in ("query", "body")]
    said = problem["msg"]
    if where == ["file"]:  # pydantic's own words name Python types here
        said = "send the picture as the multipart field `file`: curl -F file=@street.jpg"
    elif problem["type"] == "extra_forbidden":
        said = "there is no such field"
    found = problem.get("input")
    shown = f" (got {str(found)[:50]!r})" if isinstance(found, str | int | float) else ""
    return f"{'.'.join(where) or 'request'}: {said}{shown}"
