"""The tables: models, versions, artefacts, measurements, promotions, data sets, jobs.

Migrations are in `migrations/`; a test compares them with what is said here. Times are UTC.
Values in JSON columns are plain dicts that their owners read and write: a spec without its path,
a passport, what a job was asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMES = {  # the same on every database, so that migrations can name what they change
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone: SQLite forgets it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time as it is stored."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return a stored time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the present time, UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcTime}  # noqa: RUF012


# SQLite would give the id of a deleted row to the next one: a stale page could then delete that.
_NEVER_AGAIN = {"sqlite_autoincrement": True}


class ModelRow(Base):
    """A model: what people call by one name."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    folded: Mapped[str] = mapped_column(String(64), unique=True)  # names that differ in case clash
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    versions: Mapped[list[VersionRow]] = relationship(
        back_populates="model", cascade="all, delete-orphan", order_by="VersionRow.number"
    )


class VersionRow(Base):
    """One training of a model: what its artefacts have in common."""

    __tablename__ = "versions"
    __table_args__ = (Index("uq_versions_model_number", "model_id", "number", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    number: Mapped[int]
    licence: Mapped[str] = mapped_column(Text, default="unknown")
    source: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    model: Mapped[ModelRow] = relationship(back_populates="versions")
    artefacts: Mapped[list[ArtefactRow]] = relationship(
        back_populates="version", cascade="all, delete-orphan", order_by="ArtefactRow.id"
    )


class ArtefactRow(Base):
    """One file (or pair of files) of a version: pt, onnx, openvino or tensorrt."""

    __tablename__ = "artefacts"
    __table_args__ = _NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))
    format: Mapped[str] = mapped_column(String(16))
    precision: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    spec: Mapped[dict[str, Any]]  # as a sidecar says it, and static_batch
    made_from_id: Mapped[int | None] = mapped_column(
        ForeignKey("artefacts.id", ondelete="SET NULL")
    )
    origin: Mapped[str] = mapped_column(Text, default="")  # "upload", "scan", "job 12", an address
    passport: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    parity: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # against what it was made from
    created_at: Mapped[datetime] = mapped_column(default=now)
    version: Mapped[VersionRow] = relationship(back_populates="artefacts")


class MeasurementRow(Base):
    """One cell of a benchmark, or the accuracy that a validation found."""

    __tablename__ = "measurements"
    __table_args__ = _NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    artefact_id: Mapped[int] = mapped_column(
        ForeignKey("artefacts.id", ondelete="CASCADE"), index=True
    )
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    engine: Mapped[str] = mapped_column(String(32))
    figures: Mapped[dict[str, Any]]  # as `CellResult.to_dict` writes it
    created_at: Mapped[datetime] = mapped_column(default=now)


class PromotionRow(Base):
    """A change of what serves under a model's name; the newest that stands is in force."""

    __tablename__ = "promotions"
    __table_args__ = _NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    artefact_id: Mapped[int] = mapped_column(ForeignKey("artefacts.id", ondelete="CASCADE"))
    engine: Mapped[str] = mapped_column(String(32), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    accuracy_loss: Mapped[float | None]  # mAP50-95 against what it replaced; None: not measured
    forced: Mapped[bool] = mapped_column(default=False)  # past the gate
    created_at: Mapped[datetime] = mapped_column(default=now)
    rolled_back_at: Mapped[datetime | None]


class DatasetRow(Base):
    """A labelled data set: a folder in the store, or one that was named."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    path: Mapped[str] = mapped_column(Text)
    about: Mapped[dict[str, Any]]  # format, pictures, boxes, classes, sha256
    created_at: Mapped[datetime] = mapped_column(default=now)


class JobRow(Base):
    """A piece of work in a child process, or a tree of them."""

    __tablename__ = "jobs"
    __table_args__ = _NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Text)
    request: Mapped[dict[str, Any]]
    device: Mapped[str] = mapped_column(String(16), default="cpu")
    state: Mapped[str] = mapped_column(String(16), index=True)
    progress: Mapped[float] = mapped_column(default=0.0)  # 0..1
    doing: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # code, message
    owner: Mapped[str] = mapped_column(Text, default="")  # the process that runs it
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class JobLineRow(Base):
    """A line of a job's log."""

    __tablename__ = "job_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(default=now)
    text: Mapped[str] = mapped_column(Text)
