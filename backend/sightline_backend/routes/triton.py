"""/api/triton: how Triton is, what is deployed there, and all that changes it."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from sightline_backend.admin import Admin
from sightline_backend.errors import UnknownError
from sightline_backend.schemas import ERRORS
from sightline_backend.service import Running, Service
from sightline_backend.triton.answers import (
    DeploymentAnswer,
    DeployRequest,
    TritonAnswer,
    TritonGpuAnswer,
    TritonModelAnswer,
    UnloadRequest,
    deployment_answer,
    model_answer,
    new_deployment_answer,
)
from sightline_backend.triton.deploying import DeployWish
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.deployment import Deployment

router = APIRouter(prefix="/api/triton", tags=["triton"], responses=ERRORS)


@router.get("", summary="How Triton is, and what it has loaded")
async def triton(service: Running) -> TritonAnswer:
    """Always 200; a Triton that is down, or none, is told by `live`, `trouble` and `why_not`."""
    link, probes = service.triton.link, service.triton.watch.probes
    found, options = await link.read(), link.options
    return TritonAnswer(
        configured=options is not None,
        why_not=link.why_not,
        protocol=options.protocol if options else "",
        url=options.url if options else "",
        live=found.live,
        ready=found.ready,
        version=found.version,
        trouble=found.trouble,
        can_deploy=link.why_not_deploy is None,
        why_not_deploy=link.why_not_deploy,
        models=[model_answer(one, probes) for one in found.models],
        deployments=[deployment_answer(one) for one in found.deployments],
        gpus=[TritonGpuAnswer(**asdict(one)) for one in found.gpus],
    )


@router.post("/deployments", status_code=201, dependencies=[Admin], summary="Deploy a model")
async def deploy(service: Running, asked: DeployRequest) -> DeploymentAnswer:
    """Load a stored file beside what serves at Triton, then change over; no request is lost.

    Where the model's streams here run at Triton they move to it, too.
    """
    config = TritonConfig.from_dict(asked.config)
    wish = DeployWish(
        asked.model, asked.artefact_id, asked.max_batch, config, asked.force, asked.reason
    )
    return await _deployed(service, await service.triton.deploying.deploy(wish))


@router.post("/deployments/{model}/rollback", dependencies=[Admin], summary="Undo a deployment")
async def roll_back(service: Running, model: str) -> DeploymentAnswer:
    """Have the deployment before the active one serve again; no request is lost."""
    return await _deployed(service, await service.triton.deploying.rollback(model))


@router.delete(
    "/deployments/{model}", status_code=204, dependencies=[Admin], summary="Remove a deployment"
)
async def remove(service: Running, model: str) -> None:
    """Unload a model and delete all of its deployments, unless it serves here through Triton."""
    await service.triton.deploying.remove(model)
    await service.triton.link.read(anew=True)


@router.post("/models/{name}/load", dependencies=[Admin], summary="Load a model, or load it anew")
async def load(service: Running, name: str) -> TritonModelAnswer:
    """Load what Triton's repository has under a name, and wait until it is ready."""
    await service.triton.deploying.load(name)
    return await _model(service, name)


@router.post("/models/{name}/unload", dependencies=[Admin], summary="Unload a model")
async def unload(
    service: Running, name: str, asked: UnloadRequest | None = None
) -> TritonModelAnswer:
    """Unload a model once what it has in hand is done, and wait until it is gone."""
    dependents = asked is None or asked.dependents
    await service.triton.deploying.unload(name, dependents=dependents)
    return await _model(service, name)


async def _deployed(service: Service, deployment: Deployment) -> DeploymentAnswer:
    found = await service.triton.link.read(anew=True)
    one = next((one for one in found.deployments if one.deployment == deployment), None)
    if one is None:  # another change has come meanwhile, or Triton has gone
        return new_deployment_answer(deployment, None)
    return deployment_answer(one)


async def _model(service: Service, name: str) -> TritonModelAnswer:
    found = await service.triton.link.read(anew=True)
    versions = [one for one in found.models if one.state.name == name]
    if not versions:
        raise UnknownError(f"Triton doesn't say how {name[:80]!r} is. {found.trouble or ''}")
    return model_answer(versions[-1], service.triton.watch.probes)
