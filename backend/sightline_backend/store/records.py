"""What the store gives back: plain values, good after the database is closed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sightline_engines.passport import Passport
from sightline_engines.types import Format, ModelSpec

SHIPPED = "shipped"  # the origin of the package's own files


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file of a version; an OpenVINO pair counts as one."""

    id: int
    model: str
    version: int
    format: Format
    precision: str
    sha256: str  # of the file; of model.xml and then model.bin for OpenVINO
    size_bytes: int
    path: Path
    spec: ModelSpec | None  # None: a checkpoint, which can't run
    made_from_id: int | None
    origin: str  # "shipped", "upload", "scan", "job 12", an address
    passport: Passport | None  # of a TensorRT plan
    parity: dict[str, Any] | None  # against what it was made from, as `Parity.to_dict` says it
    created_at: datetime

    @property
    def is_shipped_int8(self) -> bool:
        """Whether it is the INT8 file that came with its fp32 one, calibrated beforehand."""
        return self.origin == SHIPPED and self.precision == "int8"


@dataclass(frozen=True, slots=True)
class Version:
    """One training of a model."""

    number: int
    licence: str
    source: str
    created_at: datetime
    artefacts: tuple[Artefact, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """All that one name stands for."""

    name: str
    description: str
    created_at: datetime
    shipped: bool
    versions: tuple[Version, ...]
    active: Artefact | None  # what serves; None: there is nothing that can run
    active_engine: str  # what it was promoted to run on; "": the server's setting


@dataclass(frozen=True, slots=True)
class Measurement:
    """One cell of a benchmark, or what a validation found."""

    id: int
    artefact_id: int
    job_id: int | None
    engine: str
    figures: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Promotion:
    """A change of what serves under a model's name."""

    id: int
    model: str
    artefact_id: int
    engine: str
    reason: str
    accuracy_loss: float | None
    forced: bool
    created_at: datetime
    rolled_back_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A labelled data set."""

    id: int
    name: str
    path: Path
    about: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BrokenModel:
    """A model that can't be used, and why."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found and did."""

    added: tuple[str, ...] = ()  # models, or "model:version" of one that was there
    missing: tuple[str, ...] = ()  # artefacts whose file is gone
    broken: tuple[BrokenModel, ...] = ()
    orphaned: tuple[str, ...] = ()  # files that belonged to nothing and were deleted
