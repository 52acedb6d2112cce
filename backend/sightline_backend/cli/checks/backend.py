"""Whether the server answers, and whether its port and the pages' are to be had."""

from __future__ import annotations

import httpx

from sightline_backend.cli import ports
from sightline_backend.cli.checks.check import Check, fail, ok


def check_backend(host: str, port: int) -> Check:
    """Ask the server how it is; none running is fine while its port is free."""
    url = f"http://{host}:{port}/health"
    try:
        health = httpx.get(url, timeout=5, trust_env=False).json()
        serves = f"{health['model']} on {health['engine']}, {health['device']}"
        ready = bool(health["ready"])
    except httpx.TransportError:
        return _silent(host, port)
    except (ValueError, KeyError, TypeError):
        mend = f"Stop it, or move Sightline: BACKEND_PORT={port + 10} make run"
        return fail("server", f"what answers at {url} is not Sightline", mend)
    if not ready:
        return fail("server", f"{url} answers, but takes no work", "Wait, or start it again.")
    return ok("server", f"answers at {url}: {serves}")


def check_pages(host: str, port: int) -> Check:
    """Say whether the pages run, or their port is free for them."""
    url = f"http://{host}:{port}"
    try:
        if httpx.get(f"{url}/_stcore/health", timeout=5, trust_env=False).is_success:
            return ok("pages", f"answer at {url}")
    except httpx.TransportError:
        pass
    if ports.is_free(host, port):
        return ok("pages", f"not running; port {port} is free for them")
    mend = ports.taken(host, port, "FRONTEND_PORT")
    return fail("pages", f"port {port} is not theirs: {ports.holder(port)} has it", mend)


def _silent(host: str, port: int) -> Check:
    if ports.is_free(host, port):
        return ok("server", f"not running; port {port} is free for it (`make run` starts it)")
    return fail(
        "server",
        f"{ports.holder(port)} has port {port} and doesn't answer as Sightline does",
        ports.taken(host, port, "BACKEND_PORT"),
    )
