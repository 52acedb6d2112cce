"""Whether a port is free, and who has it when it isn't."""

from __future__ import annotations

import socket

import psutil

_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  compared, not listened on


def listens_everywhere(host: str) -> bool:
    """Tell whether to listen on `host` means to listen on every address."""
    return host in _EVERYWHERE


def reachable(host: str) -> str:
    """Return the address at which this machine reaches what listens on `host`, for a URL."""
    if listens_everywhere(host):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def is_free(host: str, port: int) -> bool:
    """Try to take a port, and let go of it."""
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def next_free(host: str, port: int) -> int | None:
    """Return a free port a little above a taken one."""
    return next((p for p in range(port + 1, min(port + 50, 65536)) if is_free(host, p)), None)


def holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # macOS tells the administrator only
        return "another program"
    for one in connections:
        if one.status == psutil.CONN_LISTEN and one.laddr[1:] == (port,) and one.pid:
            try:
                return f"{psutil.Process(one.pid).name()} (process {one.pid})"
            except psutil.NoSuchProcess:
                break
    return "another program"


def taken(host: str, port: int, variable: str) -> str:
    """Say who has a port, and how to move Sightline away from it."""
    other = next_free(host, port) or port + 10
    return (
        f"Port {port} is taken by {holder(port)}. Stop that, or move Sightline: "
        f"{variable}={other} make run"
    )
