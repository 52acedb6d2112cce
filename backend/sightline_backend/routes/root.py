"""GET /: people who open the server's address mean its pages."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sightline_backend.service import Running
from sightline_backend.version import VERSION

router = APIRouter(tags=["health"])

PAGE_PORT = 8501


@router.get("/", status_code=307, summary="To the pages", response_class=RedirectResponse)
async def root(request: Request, service: Running) -> Response:
    """Redirect to the pages; who asks for JSON and not for a page is told where all is."""
    pages = service.settings.page_url or _beside(request)
    accepted = request.headers.get("accept", "")
    if "application/json" in accepted and "text/html" not in accepted:
        about = {"name": "Sightline", "version": VERSION, "pages": pages, "docs": "/docs"}
        return JSONResponse(about, headers={"vary": "Accept"})
    return RedirectResponse(pages, 307, headers={"vary": "Accept"})


def _beside(request: Request) -> str:
    """Return the pages' address on the host that was asked."""
    host = request.url.hostname or "127.0.0.1"
    return f"{request.url.scheme}://{f'[{host}]' if ':' in host else host}:{PAGE_PORT}/"
