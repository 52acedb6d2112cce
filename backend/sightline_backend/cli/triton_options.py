"""The options that every `sightline triton` command has, and what they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sightline_backend.cli.console import fail

if TYPE_CHECKING:
    from sightline_backend.settings import Settings
    from sightline_engines.triton.client import Client
    from sightline_engines.triton.deployments import Deployments

GrpcUrl = Annotated[
    str | None,
    typer.Option(help="Triton's gRPC, host:port; SIGHTLINE_TRITON_GRPC_URL if not given."),
]
HttpUrl = Annotated[
    str | None,
    typer.Option(help="Triton's HTTP, host:port; SIGHTLINE_TRITON_HTTP_URL if not given."),
]
Protocol = Annotated[
    Literal["grpc", "http"] | None,
    typer.Option(
        help="How it is asked; by the only address given, else SIGHTLINE_TRITON_PROTOCOL."
    ),
]
RepositoryFolder = Annotated[
    Path | None,
    typer.Option(
        "--repository", help="Triton's model repository; SIGHTLINE_TRITON_REPOSITORY if not given."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write it for programs.")]

NO_ADDRESS = (
    "No Triton is named: give --grpc-url HOST:PORT, or set SIGHTLINE_TRITON_GRPC_URL. "
    "`sightline triton serve` starts one on this machine."
)
NO_REPOSITORY = (
    "No repository is named: give --repository FOLDER, or set SIGHTLINE_TRITON_REPOSITORY. It is "
    "the folder that Triton was given as --model-repository."
)


def settings_of(
    grpc_url: str | None,
    http_url: str | None,
    protocol: Literal["grpc", "http"] | None,
    repository: Path | None = None,
) -> Settings:
    """Return the settings with what was given; the only address given settles the protocol."""
    from sightline_backend.cli.configuration import read_settings

    if protocol is None and (grpc_url is None) != (http_url is None):
        protocol = "grpc" if grpc_url else "http"
    return read_settings(
        triton_grpc_url=grpc_url,
        triton_http_url=http_url,
        triton_protocol=protocol,
        triton_repository=repository,
    )


@contextmanager
def client_of(settings: Settings) -> Iterator[Client]:
    """Give a client of the Triton that the settings name; ends the program where they name none."""
    from sightline_engines.triton.client import open_client

    if settings.triton is None:
        fail(NO_ADDRESS)
    client = open_client(settings.triton)
    try:
        yield client
    finally:
        client.close()


def deployments_of(settings: Settings) -> Deployments:
    """Return what lies in the repository; ends the program where none is named."""
    from sightline_engines.triton.deployments import Deployments
    from sightline_engines.triton.repository import Repository

    if settings.triton_repository is None:
        fail(NO_REPOSITORY)
    return Deployments(Repository(settings.triton_repository))
