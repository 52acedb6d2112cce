"""The detector's jobs, as /api/jobs and its events tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

ENDED = frozenset({"done", "failed", "cancelled", "interrupted"})


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work, or a tree of them, as it was when it was told."""

    id: int
    parent_id: int | None
    kind: str
    title: str
    state: str
    progress: float  # 0..1
    doing: str
    error: str | None
    request: Mapping[str, Any]
    children: tuple[Job, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless it is started again."""
        return self.state in ENDED

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a job; raises KeyError, TypeError or ValueError."""
        error = data.get("error")
        return cls(
            id=int(data["id"]),
            parent_id=data.get("parent_id"),
            kind=str(data["kind"]),
            title=str(data.get("title") or data["kind"]),
            state=str(data["state"]),
            progress=min(1.0, max(0.0, float(data.get("progress") or 0.0))),
            doing=str(data.get("doing") or ""),
            error=None if error is None else str(error["message"]),
            request=data.get("request") or {},
            children=tuple(cls.from_dict(child) for child in data.get("children") or ()),
        )


def flat(job: Job) -> Iterable[Job]:
    """Return a job and all below it, without their children."""
    yield replace(job, children=())
    for child in job.children:
        yield from flat(child)


def trees(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Return jobs under their parents, the newest first; children stay in their order."""
    known = {job.id: job for job in jobs}
    below: dict[int | None, list[Job]] = {}
    for job in sorted(known.values(), key=lambda job: job.id):
        parent = job.parent_id if job.parent_id in known else None
        below.setdefault(parent, []).append(job)

    def grown(job: Job) -> Job:
        return replace(job, children=tuple(grown(child) for child in below.get(job.id, ())))

    return tuple(grown(job) for job in reversed(below.get(None, ())))
