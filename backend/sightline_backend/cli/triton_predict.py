"""`sightline triton predict`: pictures through what is deployed, as any client sends them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline_backend.cli.console import fail, plain_errors, say_error
from sightline_backend.cli.triton_options import (
    GrpcUrl,
    HttpUrl,
    Protocol,
    client_of,
    settings_of,
)
from sightline_engines.triton.steps.names import IMAGE_BYTES, OUTPUT_JSON

if TYPE_CHECKING:
    from sightline_engines.triton.client import Client


def predict(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE…", help="JPEG, PNG, WebP or BMP files.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A deployed model; SIGHTLINE_TRITON_MODEL, else SIGHTLINE_MODEL."),
    ] = None,
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
) -> None:
    """Send pictures to Triton as they are, and write what it answers: an object a line.

    A file that can't be read, or is no picture, is named on the standard error, the others go on,
    and the exit status is 1.
    """
    settings = settings_of(grpc_url, http_url, protocol)
    name = model or settings.triton_model or settings.model
    failed = 0
    with plain_errors(), client_of(settings) as client:
        _refuse_tensors(client, name)
        for path in pictures:
            try:
                answer = _ask(client, name, path.read_bytes())
            except OSError as error:
                answer = {"error": {"message": error.strerror or str(error)}}
            if "error" in answer:
                say_error(f"{path}: {answer['error']['message']}")
                failed += 1
            else:
                print(json.dumps({"source": str(path), **answer}, ensure_ascii=False))
    if failed:
        raise typer.Exit(1)


def _refuse_tensors(client: Client, name: str) -> None:
    """End the program where a name takes no pictures."""
    taken = [one.name for one in client.metadata(name).inputs]
    if taken != [IMAGE_BYTES]:
        fail(f"{name} takes {', '.join(taken)}, not pictures; ask the name it was deployed under.")


def _ask(client: Client, name: str, picture: bytes) -> dict[str, Any]:
    """Return what the deployed model says of one encoded picture."""
    import numpy as np

    found = client.infer(name, {IMAGE_BYTES: np.array([[picture]], object)}, [OUTPUT_JSON])
    answer: dict[str, Any] = json.loads(found.arrays[OUTPUT_JSON].ravel()[0])
    return answer
