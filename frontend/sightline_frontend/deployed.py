"""Triton, its models and what is deployed to it, as /api/triton tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

PLATFORMS = {
    "onnxruntime": "ONNX Runtime",
    "tensorrt_plan": "TensorRT",
    "python": "Python",
    "ensemble": "ensemble",
}
KINDS = {
    "pictures": "pictures in, JSON out",
    "tensors": "tensors in, tensors out",
    "detector": "the model itself",
    "classifier": "the model itself",
    "step": "a step around it",
    "other": "exported",
}
STAGES = {"queue": "in line", "input": "input", "infer": "inference", "output": "output"}


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a model has done since Triton loaded it; times in ms, None: nobody knows."""

    inferences: int = 0  # pictures
    executions: int = 0  # batches that ran
    requests: int = 0
    failures: int = 0
    success_rate: float | None = None  # 0..1
    mean_ms: Mapping[str, float | None] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    batch_sizes: Mapping[int, int] = field(default_factory=dict)  # how often each ran
    last_inference_at: str = ""  # ISO 8601, UTC

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a model's `statistics`."""
        return cls(
            inferences=int(data.get("inferences") or 0),
            executions=int(data.get("executions") or 0),
            requests=int(data.get("requests") or 0),
            failures=int(data.get("failures") or 0),
            success_rate=_number(data.get("success_rate")),
            mean_ms={str(name): _number(ms) for name, ms in (data.get("mean_ms") or {}).items()},
            p50_ms=_number(data.get("p50_ms")),
            p95_ms=_number(data.get("p95_ms")),
            p99_ms=_number(data.get("p99_ms")),
            batch_sizes={int(n): int(ran) for n, ran in (data.get("batch_sizes") or {}).items()},
            last_inference_at=_moment(data.get("last_inference_at")),
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a model answered a real inference of late."""

    ok: bool
    error: str
    checked_at: str = ""  # ISO 8601, UTC

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a model's `probe`."""
        return cls(
            ok=bool(data["ok"]),
            error=str(data.get("error") or ""),
            checked_at=_moment(data.get("checked_at")),
        )


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model in Triton's repository."""

    name: str
    version: str
    state: str  # READY, LOADING, UNLOADING, UNAVAILABLE; "": never loaded
    reason: str
    kind: str
    model: str | None  # and number: the deployment that it is of
    number: int | None
    platform: str
    probe: Probe | None
    statistics: Statistics | None

    @property
    def ready(self) -> bool:
        """Whether Triton has it loaded."""
        return self.state == "READY"

    @property
    def left(self) -> bool:
        """Whether it only lies there, unloaded without trouble."""
        return not self.ready and self.state in ("", "UNAVAILABLE") and not self.trouble

    @property
    def trouble(self) -> str:
        """Why it isn't loaded, where that is more than that somebody unloaded it."""
        return "" if self.ready or self.reason == "unloaded" else self.reason

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one of `models`."""
        of, probe, statistics = (data.get(one) for one in ("deployment", "probe", "statistics"))
        return cls(
            name=str(data["name"]),
            version=str(data.get("version") or ""),
            state=str(data.get("state") or ""),
            reason=str(data.get("reason") or ""),
            kind=str(data.get("kind") or "other"),
            model=None if of is None else str(of["model"]),
            number=None if of is None else int(of["number"]),
            platform=str(data.get("platform") or ""),
            probe=None if probe is None else Probe.from_dict(probe),
            statistics=None if statistics is None else Statistics.from_dict(statistics),
        )


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model as it was put into Triton's repository, by number."""

    model: str
    number: int
    kind: str  # detector or classifier
    active: bool
    loaded: bool
    artefact_id: int | None
    version: str
    format: str
    precision: str
    platform: str
    max_batch: int
    config: Mapping[str, Any]
    created_at: str
    pictures: str  # names that clients ask for
    tensors: str
    parts: Sequence[str]
    rollback_to: int | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one of `deployments`."""
        names, artefact_id, before = data["names"], data.get("artefact_id"), data.get("rollback_to")
        return cls(
            model=str(data["model"]),
            number=int(data["number"]),
            kind=str(data.get("kind") or "detector"),
            active=bool(data["active"]),
            loaded=bool(data.get("loaded")),
            artefact_id=None if artefact_id is None else int(artefact_id),
            version=str(data.get("version") or ""),
            format=str(data.get("format") or ""),
            precision=str(data.get("precision") or ""),
            platform=str(data.get("platform") or ""),
            max_batch=int(data.get("max_batch") or 1),
            config=dict(data.get("config") or {}),
            created_at=_moment(data.get("created_at")),
            pictures=str(names["pictures"]),
            tensors=str(names["tensors"]),
            parts=tuple(str(one) for one in names["parts"]),
            rollback_to=None if before is None else int(before),
        )


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of Triton's machine."""

    uuid: str
    use: float | None  # 0..1
    memory_bytes: float | None
    memory_total_bytes: float | None
    power_watts: float | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one of `gpus`."""
        figures = ("use", "memory_bytes", "memory_total_bytes", "power_watts")
        return cls(str(data.get("uuid") or ""), *(_number(data.get(one)) for one in figures))


@dataclass(frozen=True, slots=True)
class TritonStatus:
    """How Triton is, and all that it has."""

    configured: bool
    why_not: str
    protocol: str
    url: str
    live: bool
    ready: bool
    version: str
    trouble: str
    can_deploy: bool
    why_not_deploy: str
    models: Sequence[ServerModel]
    deployments: Sequence[Deployment]
    gpus: Sequence[Gpu]

    @property
    def active(self) -> tuple[Deployment, ...]:
        """What is in service, one for each model."""
        return tuple(one for one in self.deployments if one.active)

    def named(self, name: str) -> ServerModel | None:
        """Return one of Triton's models, the loaded version first; None: there is none."""
        found = [one for one in self.models if one.name == name]
        return max(found, key=lambda one: one.ready, default=None)

    def itself(self, deployment: Deployment) -> ServerModel | None:
        """Return the model of a deployment that does the inference."""
        whose = (deployment.model, deployment.number)
        found = (one for one in self.models if (one.model, one.number) == whose)
        return next((one for one in found if one.kind == deployment.kind), None)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read `/api/triton`."""
        return cls(
            configured=bool(data["configured"]),
            why_not=str(data.get("why_not") or ""),
            protocol=str(data.get("protocol") or ""),
            url=str(data.get("url") or ""),
            live=bool(data.get("live")),
            ready=bool(data.get("ready")),
            version=str(data.get("version") or ""),
            trouble=str(data.get("trouble") or ""),
            can_deploy=bool(data.get("can_deploy")),
            why_not_deploy=str(data.get("why_not_deploy") or ""),
            models=tuple(ServerModel.from_dict(one) for one in data.get("models") or ()),
            deployments=tuple(Deployment.from_dict(one) for one in data.get("deployments") or ()),
            gpus=tuple(Gpu.from_dict(one) for one in data.get("gpus") or ()),
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _moment(value: Any) -> str:
    """Return a time as ISO 8601 in UTC, of seconds since 1970 or as it is; "" for none."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    return str(value or "")
