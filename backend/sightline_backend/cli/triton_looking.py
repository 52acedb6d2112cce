"""`sightline triton status`, `list`, `stats`: what a Triton has, and how it does."""

from __future__ import annotations

import json
from dataclasses import asdict
from time import time
from typing import TYPE_CHECKING, Annotated

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr, stdout
from sightline_backend.cli.triton_options import (
    AsJson,
    GrpcUrl,
    HttpUrl,
    Protocol,
    RepositoryFolder,
    client_of,
    deployments_of,
    settings_of,
)

if TYPE_CHECKING:
    from sightline_backend.settings import Settings
    from sightline_backend.triton.reading import Reading
    from sightline_engines.triton.client import Client

Probed = Annotated[
    bool, typer.Option("--probe/--no-probe", help="Try each deployed name with a real picture.")
]
MetricsUrl = Annotated[
    str | None,
    typer.Option(help="Its page of metrics; SIGHTLINE_TRITON_METRICS_URL, else port 8002 there."),
]
_PATIENCE_S = 10.0  # of one look; a person waits longer than a page


def status(  # noqa: PLR0913, PLR0917  each is an option of the command
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    repository: RepositoryFolder = None,
    probe: Probed = True,
    as_json: AsJson = False,
) -> None:
    """Show whether Triton runs, and every model it sees: its state, and whether it answers.

    Ready may be said of a model whose Python step has died, so deployed ones are tried. The exit
    status is 1 where one doesn't answer.
    """
    from sightline_backend.cli.triton_tables import models_table
    from sightline_engines.triton.probe import probe as try_once

    settings = settings_of(grpc_url, http_url, protocol, repository)
    with plain_errors(), client_of(settings) as client:
        found = _look(client, settings)
        names = [
            one.state.name
            for one in found.models
            if one.known.kind in ("pictures", "tensors") and one.state.state == "READY"
        ]
        probes = {name: try_once(client, name) for name in names if probe}
    if as_json:
        from sightline_backend.triton.answers import model_answer
        from sightline_backend.triton.watch import Probed

        tried = {name: Probed(one.ok, one.error, time()) for name, one in probes.items()}
        server = {"url": client.url, "live": found.live, "ready": found.ready}
        models = [model_answer(one, tried).model_dump(mode="json") for one in found.models]
        told = {**server, "version": found.version, "trouble": found.trouble, "models": models}
        print(json.dumps(told, indent=2))
    else:
        state = "ready" if found.ready else "not ready"
        said = f"Triton {found.version} at {client.url} is {state}."
        stdout.print(said, markup=False, soft_wrap=True)
        if found.models:
            stdout.print(models_table(found.models, probes))
        else:
            stderr.print("Its repository is empty: `sightline triton deploy MODEL`.")
    gone = [one.deployment.model for one in found.deployments if one.wanted and not one.serves]
    for name in gone:
        stderr.print(f"{name} is deployed and not loaded: sightline triton load {name}")
    if gone or not all(one.ok for one in probes.values()):
        raise typer.Exit(1)


def stats(
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    metrics_url: MetricsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what Triton counted of each loaded model since it was loaded, and its GPUs' use.

    Means are of all that time; p99 is of about the last minute, and only there where Triton was
    started with --metrics-config=summary_latencies=true.
    """
    from sightline_backend.cli.triton_tables import batch_sizes, gpus_table, statistics_table

    settings = settings_of(grpc_url, http_url, protocol)
    with plain_errors(), client_of(settings) as client:
        found = _look(client, settings, metrics_url)
    if as_json:
        from sightline_backend.triton.answers import model_answer

        models = [model_answer(one, {}).model_dump(mode="json") for one in found.models]
        gpus = [asdict(one) for one in found.gpus]
        print(json.dumps({"models": models, "gpus": gpus}, indent=2))
        return
    stdout.print(statistics_table(found.models, stdout.width))
    for sentence in batch_sizes(found.models):
        stdout.print(sentence, markup=False, soft_wrap=True)
    if found.gpus:
        stdout.print(gpus_table(found.gpus))


def list_deployments(repository: RepositoryFolder = None, as_json: AsJson = False) -> None:
    """Show what is deployed, and what a rollback could bring back; Triton isn't asked."""
    from sightline_backend.cli.triton_tables import deployments_table

    settings = settings_of(None, None, None, repository)
    with plain_errors():
        deployments = deployments_of(settings)
        kept = deployments.all()
        active = {name: deployments.active(name) for name in {one.model for one in kept}}
    serving = [one == active[one.model] for one in kept]
    if as_json:
        rows = [one.to_dict() | {"active": a} for one, a in zip(kept, serving, strict=True)]
        print(json.dumps({"deployments": rows}, indent=2))
        return
    if kept:
        stdout.print(deployments_table(kept, serving))
    else:
        stderr.print("Nothing is deployed: `sightline triton deploy MODEL`.")
    stderr.print(f"Of {settings.triton_repository}", style="dim", markup=False, soft_wrap=True)


def _look(client: Client, settings: Settings, metrics_url: str | None = None) -> Reading:
    """Return how Triton is; ends the program where it isn't there."""
    from sightline_backend.triton.reading import Look

    shared = settings.triton_repository is not None
    deployments = deployments_of(settings) if shared else None
    url = metrics_url or settings.triton_metrics_url
    if url is None:
        url = f"http://{client.url.rpartition(':')[0]}:8002/metrics"
    found = Look(client, deployments, url, _PATIENCE_S).read()
    if not found.live:
        fail(found.trouble or f"Triton at {client.url} says that it isn't live.")
    if found.trouble:
        stderr.print(f"note: {found.trouble}", style="yellow", markup=False, soft_wrap=True)
    return found
