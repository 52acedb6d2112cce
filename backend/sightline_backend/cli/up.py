"""`sightline up`: the server and the pages together, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline_backend.cli.options import Engine, Host, Model


def up(  # noqa: PLR0913, PLR0917  each is an option of the command
    backend_port: Annotated[
        int | None,
        typer.Option(envvar="BACKEND_PORT", min=1, max=65535, help="The server's, else 8000."),
    ] = None,
    frontend_port: Annotated[
        int, typer.Option(envvar="FRONTEND_PORT", min=1, max=65535, help="The pages'.")
    ] = 8501,
    model: Model = None,
    engine: Engine = None,
    host: Host = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Start the server and the pages, say where they are, and stop both on Ctrl-C."""
    import asyncio

    from sightline_backend.cli.configuration import read_settings
    from sightline_backend.cli.console import plain_errors
    from sightline_backend.cli.stack import Stack

    settings = read_settings(host=host, port=backend_port, model=model, engine=engine)
    with plain_errors():
        stack = Stack(settings, frontend_port, open_page=open_page)
        raise typer.Exit(asyncio.run(stack.run()))
