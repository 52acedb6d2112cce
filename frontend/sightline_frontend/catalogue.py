"""Models with their versions and files, as /api/models and /api/serving tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sightline_frontend.measured import Result

FORMATS = {"pt": "PyTorch", "onnx": "ONNX", "openvino": "OpenVINO", "tensorrt": "TensorRT"}
ENGINES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "tensorrt": "TensorRT",
    "triton": "Triton",
}
_RUNS_ON = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
}
_AT_TRITON = {"onnx": "onnxruntime", "tensorrt": "tensorrt_plan"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found when a file was measured."""

    engine: str
    created_at: str
    result: Result


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file of a version."""

    id: int
    version: int
    format: str
    precision: str
    sha256: str
    size_bytes: int
    origin: str
    created_at: str
    parity: Mapping[str, Any] | None
    measurements: Sequence[Measurement]

    @property
    def title(self) -> str:
        """What people call it."""
        return f"v{self.version} · {FORMATS.get(self.format, self.format)} · {self.precision}"

    @property
    def runs_on(self) -> tuple[str, ...]:
        """The engines that take it; none for a checkpoint."""
        return _RUNS_ON.get(self.format, ())

    @property
    def platform(self) -> str:
        """What runs it at Triton; "" where Triton can't take it."""
        return _AT_TRITON.get(self.format, "")

    @property
    def newest(self) -> Measurement | None:
        """The last measurement of its speed."""
        timed = (one for one in self.measurements if one.result.latency("p95") is not None)
        return max(timed, key=lambda one: one.created_at, default=None)

    @property
    def judged(self) -> Measurement | None:
        """The last measurement of its accuracy."""
        judged = (one for one in self.measurements if one.result.accuracy is not None)
        return max(judged, key=lambda one: one.created_at, default=None)

    @property
    def accuracies(self) -> dict[str, float]:
        """The newest mAP50-95 on each data set, by its SHA-256; the newest of all is last."""
        found: dict[str, float] = {}
        for one in sorted(self.measurements, key=lambda one: one.created_at):
            sha, worth = (one.result.accuracy or {}).get("dataset_sha256"), one.result.map50_95
            if sha and worth is not None:
                found.pop(sha, None)
                found[sha] = worth
        return found

    @classmethod
    def from_dict(cls, version: int, data: Mapping[str, Any]) -> Self:
        """Read one of a version's artefacts."""
        return cls(
            id=int(data["id"]),
            version=version,
            format=str(data["format"]),
            precision=str(data["precision"]),
            sha256=str(data["sha256"]),
            size_bytes=int(data["size_bytes"]),
            origin=str(data.get("origin") or ""),
            created_at=str(data.get("created_at") or ""),
            parity=data.get("parity"),
            measurements=tuple(
                Measurement(
                    str(one.get("engine") or ""),
                    str(one.get("created_at") or ""),
                    Result.from_dict(one["figures"]),
                )
                for one in data.get("measurements", ())
            ),
        )


@dataclass(frozen=True, slots=True)
class Version:
    """One training of a model."""

    number: int
    licence: str
    source: str
    created_at: str
    labels: Sequence[str]
    input_size_wh: tuple[int, int] | None
    family: str
    artefacts: Sequence[Artefact]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one of a model's versions."""
        size = data.get("input_size_wh")
        return cls(
            number=int(data["number"]),
            licence=str(data.get("licence") or "unknown"),
            source=str(data.get("source") or ""),
            created_at=str(data.get("created_at") or ""),
            labels=tuple(str(label) for label in data.get("labels") or ()),
            input_size_wh=(int(size[0]), int(size[1])) if size else None,
            family=str(data.get("family") or ""),
            artefacts=tuple(
                Artefact.from_dict(int(data["number"]), one) for one in data["artefacts"]
            ),
        )


@dataclass(frozen=True, slots=True)
class Promotion:
    """A change of what serves, which may have been rolled back."""

    artefact_id: int
    engine: str
    reason: str
    accuracy_loss: float | None
    forced: bool
    created_at: str
    rolled_back_at: str | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one of a model's promotions."""
        loss = data.get("accuracy_loss")
        return cls(
            artefact_id=int(data["artefact_id"]),
            engine=str(data.get("engine") or ""),
            reason=str(data.get("reason") or ""),
            accuracy_loss=None if loss is None else float(loss),
            forced=bool(data.get("forced")),
            created_at=str(data.get("created_at") or ""),
            rolled_back_at=data.get("rolled_back_at"),
        )


@dataclass(frozen=True, slots=True)
class ModelDetail:
    """All that is known of a model."""

    name: str
    description: str
    shipped: bool
    active_id: int | None  # the file that serves
    active_engine: str
    before_id: int | None  # the file that a rollback brings back
    before_engine: str
    versions: Sequence[Version]
    promotions: Sequence[Promotion]

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """The files of all versions, the newest version first."""
        newest_first = sorted(self.versions, key=lambda version: -version.number)
        return tuple(one for version in newest_first for one in version.artefacts)

    @property
    def active(self) -> Artefact | None:
        """The file that serves."""
        return self.artefact(self.active_id)

    def artefact(self, wanted: int | None) -> Artefact | None:
        """Return a file by its number, None if there is none."""
        return next((one for one in self.artefacts if one.id == wanted), None)

    def version(self, number: int) -> Version | None:
        """Return a version by its number, None if there is none."""
        return next((one for one in self.versions if one.number == number), None)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read `/api/models/{name}`."""
        active = data.get("active") or {}
        artefact_id = active.get("artefact_id")
        before = data.get("rollback_to") or {}
        before_id = before.get("artefact_id")
        return cls(
            name=str(data["name"]),
            description=str(data.get("description") or ""),
            shipped=bool(data.get("shipped")),
            active_id=None if artefact_id is None else int(artefact_id),
            active_engine=str(active.get("engine") or ""),
            before_id=None if before_id is None else int(before_id),
            before_engine=str(before.get("engine") or ""),
            versions=tuple(Version.from_dict(one) for one in data["versions"]),
            promotions=tuple(Promotion.from_dict(one) for one in data["promotions"]),
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A model in the list of all."""

    name: str
    description: str
    licence: str
    versions: int
    version: str  # of what serves
    format: str
    precision: str
    loaded: bool
    default: bool

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one entry of `/api/models`."""
        return cls(
            name=str(data["name"]),
            description=str(data.get("description") or ""),
            licence=str(data.get("licence") or "unknown"),
            versions=int(data.get("versions") or 1),
            version=str(data.get("version") or ""),
            format=str(data.get("format") or ""),
            precision=str(data.get("precision") or ""),
            loaded=bool(data.get("loaded")),
            default=bool(data.get("default")),
        )


@dataclass(frozen=True, slots=True)
class Served:
    """What serves under a model's name."""

    model: str
    version: int | None
    artefact_id: int | None
    format: str
    precision: str
    engine: str
    streams: int
    shadow: Mapping[str, Any] | None
    rebuilding: bool

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one entry of `/api/serving`."""
        version, artefact_id = data.get("version"), data.get("artefact_id")
        return cls(
            model=str(data["model"]),
            version=None if version is None else int(version),
            artefact_id=None if artefact_id is None else int(artefact_id),
            format=str(data.get("format") or ""),
            precision=str(data.get("precision") or ""),
            engine=str(data.get("engine") or ""),
            streams=int(data.get("streams") or 0),
            shadow=data.get("shadow"),
            rebuilding=bool(data.get("rebuilding")),
        )


@dataclass(frozen=True, slots=True)
class Conversion:
    """What can be made here, or why not."""

    format: str
    precision: str
    why_not: str | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one entry of `/api/conversions`."""
        why_not = data.get("why_not")
        return cls(
            str(data["format"]), str(data["precision"]), None if why_not is None else str(why_not)
        )
