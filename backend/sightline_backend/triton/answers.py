"""The shapes of what `/api/triton` takes and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sightline_backend.triton.kinds import Kind
from sightline_backend.triton.reading import DeploymentReading, ModelReading
from sightline_backend.triton.watch import Probed
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.deployment import Deployment


class DeployRequest(BaseModel):
    """What is to be deployed."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=200)
    artefact_id: int | None = Field(
        None,
        ge=1,
        description="Unset: what serves if Triton takes it, else the newest that it does.",
    )
    max_batch: int = Field(8, ge=1, le=1024)
    config: dict[str, Any] = Field({}, description="As TritonConfig names them; unset: default.")
    force: bool = Field(
        False, description="Where it serves here: even if it loses more accuracy than is allowed."
    )
    reason: str = Field("", max_length=2000, description="Why; required with force.")

    @field_validator("config")
    @classmethod
    def _as_triton_takes_it(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            TritonConfig.from_dict(value)
        except TypeError as error:
            raise ValueError(f"a value is of the wrong kind: {error}") from error
        return value


class UnloadRequest(BaseModel):
    """How a model is to be unloaded."""

    model_config = ConfigDict(extra="forbid")

    dependents: bool = Field(True, description="What an ensemble is made of, too, if not in use.")


class DeploymentOf(BaseModel):
    """Which deployment a model belongs to."""

    model: str
    number: int


class ProbeAnswer(BaseModel):
    """Whether it answers, others or a probe; Triton itself says READY of dead models."""

    ok: bool
    error: str
    checked_at: str


class MeansAnswer(BaseModel):
    """Milliseconds of a request and its stages; null: there was none."""

    request: float | None
    queue: float | None
    input: float | None
    infer: float | None
    output: float | None


class StatisticsAnswer(BaseModel):
    """Counted since the model was loaded; percentiles over Triton's last minute or so.

    Where nobody else asks, the probes of Sightline's own watch are what is counted.
    """

    inferences: int
    executions: int
    requests: int
    failures: int
    success_rate: float | None
    mean_ms: MeansAnswer
    p50_ms: float | None = Field(description="Null: Triton runs without latency summaries.")
    p95_ms: float | None
    p99_ms: float | None
    batch_sizes: dict[str, int] = Field(description="Executions by batch size.")
    last_inference_at: str | None


class TritonModelAnswer(BaseModel):
    """A version of a model in Triton's repository."""

    name: str
    version: str
    state: str = Field(examples=["READY", "UNAVAILABLE", "LOADING", "UNLOADING", ""])
    reason: str
    kind: Kind
    deployment: DeploymentOf | None
    platform: str
    probe: ProbeAnswer | None
    statistics: StatisticsAnswer | None


class DeploymentNames(BaseModel):
    """What a deployment's models are called at Triton."""

    pictures: str
    tensors: str
    parts: list[str]


class DeploymentAnswer(BaseModel):
    """A deployment whose files are kept."""

    model: str
    number: int
    kind: str
    active: bool
    loaded: bool
    artefact_id: int | None
    version: str
    format: str
    precision: str
    platform: str
    max_batch: int
    config: dict[str, Any]
    created_at: str
    names: DeploymentNames
    rollback_to: int | None = Field(description="Of the active one: what a rollback brings back.")


class TritonGpuAnswer(BaseModel):
    """A GPU of Triton's, as its metrics say."""

    uuid: str
    use: float | None = Field(description="From 0 to 1.")
    memory_bytes: float | None
    memory_total_bytes: float | None
    power_watts: float | None


class TritonAnswer(BaseModel):
    """How Triton is, and what it has loaded."""

    configured: bool
    why_not: str | None
    protocol: str
    url: str
    live: bool
    ready: bool
    version: str
    trouble: str | None
    can_deploy: bool
    why_not_deploy: str | None
    models: list[TritonModelAnswer]
    deployments: list[DeploymentAnswer]
    gpus: list[TritonGpuAnswer]


def model_answer(one: ModelReading, probes: Mapping[str, Probed]) -> TritonModelAnswer:
    """Return a model of a reading, with its last probe."""
    known, state = one.known, one.state
    probed = probes.get(state.name) if state.state == "READY" else None
    deployment = None
    if known.number is not None:
        deployment = DeploymentOf(model=known.model, number=known.number)
    return TritonModelAnswer(
        **asdict(state),
        kind=known.kind,
        deployment=deployment,
        platform=known.platform,
        probe=None
        if probed is None
        else ProbeAnswer(ok=probed.ok, error=probed.error, checked_at=_iso(probed.checked_at)),
        statistics=_statistics(one),
    )


def deployment_answer(one: DeploymentReading) -> DeploymentAnswer:
    """Return a deployment of a reading."""
    return _deployment(one.deployment, one.active, one.loaded, one.rollback_to)


def new_deployment_answer(one: Deployment, rollback_to: int | None) -> DeploymentAnswer:
    """Return a deployment that was just put into service."""
    return _deployment(one, True, True, rollback_to)


def _deployment(
    one: Deployment, active: bool, loaded: bool, rollback_to: int | None
) -> DeploymentAnswer:
    return DeploymentAnswer(
        model=one.model,
        number=one.number,
        kind=one.kind,
        active=active,
        loaded=loaded,
        artefact_id=one.artefact_id,
        version=one.version,
        format=one.format,
        precision=one.precision,
        platform=one.platform,
        max_batch=one.max_batch,
        config=one.config.to_dict(),
        created_at=_iso(one.created_at),
        names=DeploymentNames(pictures=one.pictures, tensors=one.tensors, parts=list(one.parts)),
        rollback_to=rollback_to,
    )


def _statistics(one: ModelReading) -> StatisticsAnswer | None:
    counted = one.statistics
    if counted is None:
        return None
    last = counted.last_inference_at
    return StatisticsAnswer(
        inferences=counted.inferences,
        executions=counted.executions,
        requests=counted.requests,
        failures=counted.failures,
        success_rate=counted.success_rate,
        mean_ms=MeansAnswer(**counted.mean_ms),
        **asdict(one.percentiles),
        batch_sizes=counted.batch_sizes,
        last_inference_at=None if last is None else _iso(last),
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
