"""A job as everybody but the database sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sightline_backend.jobs.requests import Kind

State: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]

ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled", "interrupted"})


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work in a child process, or a tree of them, as it was when it was read."""

    id: int
    parent_id: int | None
    kind: Kind
    title: str
    request: dict[str, Any]
    device: str  # those of which it needs all, such as "cpu cuda:0"; one job at a time a device
    state: State
    progress: float  # 0..1
    doing: str
    result: dict[str, Any] | None  # partial until the job is done; not in lists and events
    error: dict[str, Any] | None  # code, message
    owner: str  # the process that runs it
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    children: tuple[Job, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless it is restarted."""
        return self.state in ENDED

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, times in ISO 8601; `owner` is nobody's business."""
        return {
            "id": self.id,
            "parent_id": self.parent_id,
            "kind": self.kind,
            "title": self.title,
            "device": self.device,
            "state": self.state,
            "progress": self.progress,
            "doing": self.doing,
            "request": self.request,
            "result": self.result,
            "error": self.error,
            "created_at": self.created_at.isoformat(),
            "started_at": self.started_at and self.started_at.isoformat(),
            "ended_at": self.ended_at and self.ended_at.isoformat(),
            "children": [child.to_dict() for child in self.children],
        }


def job_of(values: dict[str, Any]) -> Job:
    """Read what `to_dict` wrote; nobody is told who owns it."""
    times = {
        name: value and datetime.fromisoformat(value)
        for name, value in values.items()
        if name.endswith("_at")
    }
    children = tuple(job_of(child) for child in values["children"])
    return Job(**{**values, **times, "children": children, "owner": ""})
