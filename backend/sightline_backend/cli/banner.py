"""What `sightline up` shows once both programs answer."""

from __future__ import annotations

from typing import Any

import psutil
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from sightline_backend.cli.ports import listens_everywhere, reachable


def banner(host: str, frontend_port: int, backend_url: str, health: dict[str, Any]) -> Panel:
    """Return the panel with the addresses and what serves."""
    rows = Table.grid(padding=(0, 2))
    local = host == "127.0.0.1" or listens_everywhere(host)  # localhost: cameras work there
    page = f"http://{'localhost' if local else reachable(host)}:{frontend_port}"
    rows.add_row("Page", f"[bold underline]{page}[/]")
    if listens_everywhere(host):
        for address in lan_addresses():
            rows.add_row("", f"http://{address}:{frontend_port}  (camera needs HTTPS there)")
    rows.add_row("Server", f"{backend_url}  (its API: {backend_url}/docs)")
    rows.add_row("Model", escape(str(health["model"])))
    rows.add_row("Engine", f"{health['engine']}, {health['precision']}")
    rows.add_row("Device", escape(str(health["device"])))
    if health.get("fallback"):
        rows.add_row("[yellow]Fallback[/]", f"[yellow]{escape(health['fallback'])}[/]")
    rows.add_row("", "[dim]Ctrl-C stops both.[/]")
    return Panel.fit(rows, title="Sightline", border_style="green")


def lan_addresses() -> list[str]:
    """Return this machine's IPv4 addresses that others may reach."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    return [
        address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if name in up and address.family.name == "AF_INET" and not _is_local(address.address)
    ]


def _is_local(address: str) -> bool:
    return address.startswith(("127.", "169.254."))
