"""The Triton that is set: whether it answers, shares its repository, and what is deployed runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sightline_backend.cli.checks.check import Check, fail, info, ok, warn
from sightline_backend.settings import Settings
from sightline_engines.errors import DeployError, EngineAwayError, SightlineError

if TYPE_CHECKING:
    from sightline_engines.triton.client import Client
    from sightline_engines.triton.deployments import Deployments

_NONE = "no address is set, so models run here (`sightline triton serve` starts one to try)"


def check_triton(settings: Settings) -> Iterator[Check]:
    """Look at the server, then at the repository, then at each deployed model."""
    from sightline_engines.triton.client import open_client
    from sightline_engines.triton.deployments import Deployments
    from sightline_engines.triton.repository import Repository

    if settings.triton is None:
        yield info("triton", _NONE)
        return
    try:
        client = open_client(settings.triton)
    except SightlineError as error:
        yield fail("triton", error.message, "Run `make install` again.")
        return
    folder = settings.triton_repository
    deployments = Deployments(Repository(folder)) if folder is not None else None
    with client:
        found = check_server(client)
        yield found
        if found.state == "fail":
            return
        yield check_repository(client, folder)
        if deployments is not None:
            yield from check_deployed(client, deployments)


def check_server(client: Client) -> Check:
    """Say whether the server answers, and which it is."""
    try:
        client.live()
        facts = client.server()
    except EngineAwayError as error:
        mend = "Start it, or correct SIGHTLINE_TRITON_GRPC_URL (SIGHTLINE_TRITON_HTTP_URL)."
        return fail("triton", error.message, mend)
    except SightlineError as error:
        return fail("triton", error.message, "See that a tritonserver is at this address.")
    return ok("triton", f"{facts.name} {facts.version} answers at {client.url}")


def check_repository(client: Client, folder: Path | None) -> Check:
    """Make a folder in the repository for a moment, and see whether Triton sees it, too."""
    from sightline_engines.triton.shared_folder import check_shared

    name = "triton repository"
    if folder is None:
        return info(name, "none is set (SIGHTLINE_TRITON_REPOSITORY), so nothing can be deployed")
    try:
        check_shared(client, folder)
    except DeployError as error:
        return fail(name, error.message, "`sightline triton serve` shows how the two fit together.")
    except SightlineError as error:
        mend = "Start Triton with --model-control-mode=explicit, and let it read the folder."
        return fail(name, error.message, mend)
    return ok(name, f"{folder}, written here and read by Triton")


def check_deployed(client: Client, deployments: Deployments) -> Iterator[Check]:
    """Run every deployed model once through its Python steps; ready alone may be a dead one."""
    from sightline_engines.triton.probe import probe

    try:
        models = sorted({one.model for one in deployments.all()})
        active = [one for one in map(deployments.active, models) if one is not None]
    except SightlineError as error:
        yield fail("triton models", error.message, "See `sightline triton list`.")
        return
    for one in active:
        name = f"triton {one.model}"
        tried = probe(client, one.pictures)
        if tried.ok:
            took = f"{tried.seconds * 1e3:.0f} ms"
            yield ok(name, f"deployment {one.number} answers a picture in {took}")
        else:
            mend = f"Load it anew: sightline triton load {one.model}"
            yield warn(name, f"deployment {one.number} doesn't answer: {tried.error}", mend)
