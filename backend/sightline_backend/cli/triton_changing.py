"""`sightline triton deploy`, `rollback`, `remove`, `load`, `unload`: change what Triton serves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr, stdout
from sightline_backend.cli.server_call import call
from sightline_backend.cli.triton_config import (
    ConfigFile,
    Further,
    Gpus,
    InstanceCount,
    MaxQueueDelayUs,
    Platform,
    PreferredBatchSizes,
)
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
    from sightline_engines.triton.control import Control
    from sightline_engines.triton.deployer import Deployer
    from sightline_engines.triton.deployment import Deployment

Model = Annotated[str, typer.Argument(help="A model's name (`sightline models list`).")]
Deployed = Annotated[str, typer.Argument(help="A deployed model's name.")]
Name = Annotated[str, typer.Argument(help="A name in Triton (`sightline triton status`).")]
Url = Annotated[
    str | None,
    typer.Option(help="A running Sightline server that is to do it, which moves its streams, too."),
]

Force = Annotated[
    bool,
    typer.Option("--force", help="With --url: even if streams lose more accuracy than is allowed."),
]
Reason = Annotated[str, typer.Option(help="Why; required with --force.")]


def deploy(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Model,
    artefact: Annotated[
        int | None,
        typer.Option(min=1, help="Its number; what serves, else the newest, if not given."),
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(help="Deploy this ONNX file as a classifier named MODEL; needs --labels."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="The classifier's labels: a text, one a line.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Classes that a classifier answers; 5.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, max=1024, help="Most pictures a batch.")] = 8,
    platform: Platform = None,
    instance_count: InstanceCount = None,
    preferred_batch_sizes: PreferredBatchSizes = None,
    max_queue_delay_us: MaxQueueDelayUs = None,
    gpus: Gpus = None,
    config: ConfigFile = None,
    further: Further = None,
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    repository: RepositoryFolder = None,
    url: Url = None,
    force: Force = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Have Triton serve a model; what served under its name goes once the new one answers.

    If anything fails, what served before serves on. Where a Sightline server shows streams through
    Triton, give its --url.
    """
    from sightline_backend.cli.triton_config import checked, config_of

    if (classifier is None) != (labels is None):
        fail("A classifier needs both files: --classifier FILE.onnx --labels FILE.")
    asked = config_of(
        *(config, platform, instance_count, preferred_batch_sizes, max_queue_delay_us, gpus),
        further or (),
    )
    _check_force(url, force, reason)
    if url is not None:
        if classifier is not None:
            fail("A server deploys models of its store; leave --url out to deploy a classifier.")
        body = {"model": model, "artefact_id": artefact, "max_batch": max_batch, "config": asked}
        body |= {"force": force, "reason": reason}
        _say(call("POST", url, "/api/triton/deployments", body), as_json)
        return
    settings = settings_of(grpc_url, http_url, protocol, repository)
    with plain_errors(), deployer_of(settings) as deployer:
        if classifier is not None and labels is not None:
            from sightline_backend.cli.triton_classifier import classifier_of

            source = classifier_of(model, classifier, labels, top_k)
            found = deployer.deploy(source, checked(asked), max_batch=max_batch)
        else:
            found = _deploy_stored(deployer, model, artefact, max_batch, asked)
    _say(found.to_dict(), as_json)


def rollback(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Deployed,
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    repository: RepositoryFolder = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Have the deployment before the active one serve again."""
    if url is not None:
        _say(call("POST", url, f"/api/triton/deployments/{_quoted(model)}/rollback"), as_json)
        return
    settings = settings_of(grpc_url, http_url, protocol, repository)
    with plain_errors(), deployer_of(settings) as deployer:
        found = deployer.rollback(model)
    _say(found.to_dict(), as_json)


def remove(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Deployed,
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    repository: RepositoryFolder = None,
    url: Url = None,
) -> None:
    """Unload a model from Triton and delete its deployments; the stored model stays."""
    if url is not None:
        call("DELETE", url, f"/api/triton/deployments/{_quoted(model)}")
    else:
        settings = settings_of(grpc_url, http_url, protocol, repository)
        with plain_errors(), deployer_of(settings) as deployer:
            deployer.remove(model)
    stderr.print(f"{model} is no longer deployed.", markup=False, soft_wrap=True)


def load(
    name: Name,
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    repository: RepositoryFolder = None,
) -> None:
    """Load a model as its files say, anew if it is loaded, and wait until it is ready.

    A deployed name is loaded with all of its parts, which replaces dead Python processes.
    """
    settings = settings_of(grpc_url, http_url, protocol, repository)
    with plain_errors(), changing_by_name(settings) as changing:
        changing.load(name)
    stderr.print(f"{name} is loaded.", markup=False, soft_wrap=True)


def unload(  # noqa: PLR0913, PLR0917  each is an option of the command
    name: Name,
    dependents: Annotated[
        bool,
        typer.Option("--dependents/--keep-dependents", help="The parts of an ensemble, too."),
    ] = True,
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    repository: RepositoryFolder = None,
) -> None:
    """Unload a model and wait until it is gone; its files stay, and `load` brings it back."""
    settings = settings_of(grpc_url, http_url, protocol, repository)
    with plain_errors(), changing_by_name(settings) as changing:
        changing.unload(name, dependents=dependents)
    stderr.print(f"{name} is unloaded.", markup=False, soft_wrap=True)


@contextmanager
def changing_by_name(settings: Settings) -> Iterator[Control | Deployer]:
    """Give what loads and unloads by name; it knows of deployments where the repository is set."""
    from sightline_engines.triton.control import Control

    if settings.triton_repository is not None and settings.triton is not None:
        with deployer_of(settings) as deployer:
            yield deployer
    else:
        with client_of(settings) as client:
            yield Control(client)


@contextmanager
def deployer_of(settings: Settings) -> Iterator[Deployer]:
    """Give what deploys, on the repository and the Triton of the settings."""
    from sightline_engines.triton.control import Control
    from sightline_engines.triton.deployer import Deployer

    deployments = deployments_of(settings)
    with client_of(settings) as client:
        yield Deployer(deployments, Control(client, deployments.repository), client)


def _deploy_stored(
    deployer: Deployer, model: str, artefact: int | None, max_batch: int, asked: dict[str, Any]
) -> Deployment:
    """Deploy an artefact of the store."""
    from dataclasses import replace

    from sightline_backend.cli.configuration import model_store
    from sightline_backend.cli.triton_config import checked
    from sightline_backend.triton.artefacts import artefact_of, built_from

    stored = model_store().model(model)
    chosen = artefact_of(stored, artefact)
    assert chosen.spec is not None  # noqa: S101  what can't run isn't chosen
    return deployer.deploy(
        replace(chosen.spec, name=model),
        checked(asked),
        max_batch=max_batch,
        artefact_id=chosen.id,
        built_from=built_from(stored, chosen),
    )


def _check_force(url: str | None, force: bool, reason: str) -> None:
    if force and url is None:
        fail("--force is for the streams of a Sightline server: name it with --url.")
    if force and not reason.strip():
        fail("--force needs a reason, which is kept: --reason 'why'.")


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _say(deployment: Mapping[str, Any], as_json: bool) -> None:
    """Write what serves now."""
    if as_json:
        print(json.dumps(deployment, indent=2))
        return
    model, number = deployment["model"], deployment["number"]
    stdout.print(
        f"{model}: deployment {number} serves, {deployment['precision']} on "
        f"{deployment['platform']}. Pictures go to {model}, tensors to {model}_tensors.",
        markup=False,
        soft_wrap=True,
    )
