"""The jobs in the database, as plain `Job`s. All of it blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session, defer

from sightline_backend.errors import NotPossibleError, UnknownError
from sightline_backend.jobs.devices import devices_of, split
from sightline_backend.jobs.job import ENDED, Job, State
from sightline_backend.jobs.requests import JobRequest, Kind
from sightline_backend.jobs.title import title_of
from sightline_backend.store.database import Database
from sightline_backend.store.tables import JobLineRow, JobRow, now

MOST_LINES = 5000  # of one job's log; the oldest are forgotten
LONGEST_LINE = 2000
MOST_LISTED = 500
MOST_IN_LINE = 200
MEASURING: tuple[Kind, ...] = ("benchmark", "pipeline")  # their results have cells

_ACTIVE = ("queued", "running")
_NO_RESULT = defer(JobRow.result, raiseload=True)  # it may be a megabyte


class JobRecords:
    """Reads and writes jobs; for several threads and processes at once.

    Only who owns a job writes its progress and its end, and only while it hasn't ended: another
    process ends it by writing `cancelled`, which its owner then finds there. Results come with
    `job`, `some` and `measured`; elsewhere a job's result is None, as it may be large.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: Kind, request: JobRequest, owner: str, parent_id: int | None = None) -> Job:
        """Put a new job in line; raises NotPossibleError if the line is too long."""
        devices = devices_of(request)  # may take a while, which a transaction must not
        with self._database.session() as session:
            if parent_id is None:
                _check_line(session)
            row = JobRow(
                parent_id=parent_id,
                kind=kind,
                title=title_of(request),
                request=request.model_dump(mode="json"),
                device=devices,
                state="queued",
                owner=owner,
            )
            session.add(row)
            session.flush()
            return _job(row)

    def job(self, job_id: int) -> Job:
        """Return a job with its children; raises UnknownError."""
        with self._database.reading() as session:
            row = _row(session, job_id)
            children = _children(session, [job_id], results=True).get(job_id, ())
            return _job(row, children, result=row.result)

    def jobs(
        self, kind: str | None = None, state: str | None = None, limit: int = 50
    ) -> Sequence[Job]:
        """Return the newest jobs that no other job started, with their children."""
        asked = select(JobRow).where(JobRow.parent_id.is_(None)).order_by(JobRow.id.desc())
        asked = asked.options(_NO_RESULT)
        if kind is not None:
            asked = asked.where(JobRow.kind == kind)
        if state is not None:
            asked = asked.where(JobRow.state == state)
        with self._database.reading() as session:
            rows = session.scalars(asked.limit(min(limit, MOST_LISTED))).all()
            children = _children(session, [row.id for row in rows])
            return [_job(row, children.get(row.id, ())) for row in rows]

    def some(self, ids: Collection[int]) -> Sequence[Job]:
        """Return these jobs, as far as there are such, without children."""
        with self._database.reading() as session:
            rows = session.scalars(select(JobRow).where(JobRow.id.in_(ids)).order_by(JobRow.id))
            return [_job(row, result=row.result) for row in rows]

    def measured(self, model: str | None, limit: int) -> Sequence[Job]:
        """Return the newest jobs that have cells in their results, of one model or of all."""
        asked = (
            select(JobRow)
            .where(JobRow.parent_id.is_(None), JobRow.kind.in_(MEASURING))
            .where(JobRow.result[("cells", 0)].as_string().is_not(None))
            .order_by(JobRow.id.desc())
        )
        if model is not None:
            asked = asked.where(JobRow.request["model"].as_string() == model)
        with self._database.reading() as session:
            return [_job(row, result=row.result) for row in session.scalars(asked.limit(limit))]

    def active(self) -> Sequence[Job]:
        """Return all jobs that wait or run, of whichever process."""
        with self._database.reading() as session:
            asked = select(JobRow).where(JobRow.state.in_(_ACTIVE)).order_by(JobRow.id)
            return [_job(row) for row in session.scalars(asked.options(_NO_RESULT))]

    def is_next(self, job_id: int) -> bool:
        """Tell whether no older job, of whichever process, waits for one of a job's devices."""
        with self._database.reading() as session:
            wanted = set(split(_row(session, job_id).device))
            waiting = (JobRow.state == "queued", JobRow.kind != "pipeline", JobRow.id < job_id)
            older = session.scalars(select(JobRow.device).where(*waiting))
            return not any(wanted.intersection(split(devices)) for devices in older)

    def begin(self, job_id: int, owner: str) -> Job | None:
        """Note that a job runs; None if it was ended meanwhile, or taken over."""
        return self.note(job_id, owner, {"state": "running", "started_at": now()})

    def note(
        self, job_id: int, owner: str, changes: dict[str, Any], lines: Sequence[str] = ()
    ) -> Job | None:
        """Write progress, doing, result so far and log lines.

        None if the job was ended meanwhile; if it was taken over, nothing at all is written.
        """
        with self._database.session() as session:
            row = session.get(JobRow, job_id, with_for_update=True, options=[_NO_RESULT])
            if row is None or row.owner != owner:
                return None
            _add_lines(session, job_id, lines)
            if row.state in ENDED:
                return None
            for name, value in changes.items():
                setattr(row, name, value)
            session.flush()
            return _job(row)

    def end(
        self,
        job_id: int,
        owner: str,
        state: State,
        changes: dict[str, Any],
        lines: Sequence[str] = (),
    ) -> Job | None:
        """Note how a job ended; None if somebody else ended it before, or has taken it over."""
        done = {"progress": 1.0, "doing": ""} if state == "done" else {}
        values = {**changes, **done, "state": state, "ended_at": now()}
        return self.note(job_id, owner, values, lines)

    def cancel(self, job_id: int) -> Job:
        """End a job and its children in the books; raises NotPossibleError if it has ended.

        Whoever runs it looks there every second, and ends the processes.
        """
        with self._database.session() as session:
            row = _row(session, job_id)
            if row.state in ENDED:
                raise NotPossibleError(f"Job {job_id} has ended already: it is {row.state}.")
            session.execute(
                update(JobRow)
                .where((JobRow.id == job_id) | (JobRow.parent_id == job_id))
                .where(JobRow.state.in_(_ACTIVE))
                .values(state="cancelled", ended_at=now())
            )
        return self.job(job_id)

    def requeue(self, job_id: int, owner: str) -> Job:
        """Put a job that failed or was stopped in line again; raises NotPossibleError."""
        with self._database.session() as session:
            row = _row(session, job_id, to_change=True)
            if row.state not in ENDED or row.state == "done":
                raise NotPossibleError(
                    f"Job {job_id} is {row.state}: only what failed, was cancelled or was "
                    "interrupted can be restarted."
                )
            parent = session.get(JobRow, row.parent_id) if row.parent_id else None
            if parent is not None and parent.state in _ACTIVE and parent.owner != owner:
                raise NotPossibleError(f"Job {job_id} is part of job {parent.id}, which runs.")
            row.state, row.owner, row.progress, row.doing = "queued", owner, 0.0, ""
            row.error = row.started_at = row.ended_at = None
            if row.kind != "pipeline":
                row.result = None
            _add_lines(session, job_id, ["Restarted."])
            session.flush()
            return _job(row)

    def interrupt_lost(self, is_alive: Callable[[str], bool]) -> Sequence[Job]:
        """Mark what nobody runs any more as interrupted; return those jobs."""
        owners = {job.owner for job in self.active()}
        lost = [owner for owner in owners if not is_alive(owner)]
        if not lost:
            return ()
        with self._database.session() as session:
            asked = select(JobRow).where(JobRow.state.in_(_ACTIVE), JobRow.owner.in_(lost))
            rows = session.scalars(asked.options(_NO_RESULT)).all()
            for row in rows:
                row.state, row.ended_at = "interrupted", now()
                row.error = {
                    "code": "interrupted",
                    "message": "The process that ran this job is gone; restart the job.",
                }
            session.flush()
            return [_job(row) for row in rows]

    def ended(self, *, measured: bool) -> Sequence[int]:
        """Return the ended jobs that no other started; of those with cells only if `measured`."""
        asked = select(JobRow.id).where(JobRow.parent_id.is_(None), JobRow.state.in_(ENDED))
        if not measured:
            no_cells = JobRow.result[("cells", 0)].as_string().is_(None)
            asked = asked.where(JobRow.kind.not_in(MEASURING) | no_cells)
        with self._database.reading() as session:
            return session.scalars(asked.order_by(JobRow.id)).all()

    def remove(self, job_id: int) -> int:
        """Forget a job that has ended, its children and their logs; return how many jobs.

        What it made stays; a run that measured is no longer shown.
        """
        with self._database.session() as session:
            row = _row(session, job_id)
            tree = [row, *session.scalars(select(JobRow).where(JobRow.parent_id == job_id))]
            if any(one.state not in ENDED for one in tree):
                raise NotPossibleError(f"Job {job_id} is {row.state}: cancel it first.")
            session.delete(row)  # and with it, by the database, its children and all logs
            return len(tree)

    def log(self, job_id: int) -> str:
        """Return the log, a line each; raises UnknownError."""
        with self._database.reading() as session:
            _row(session, job_id)
            asked = select(JobLineRow.text).where(JobLineRow.job_id == job_id)
            return "".join(f"{line}\n" for line in session.scalars(asked.order_by(JobLineRow.id)))


def _row(session: Session, job_id: int, *, to_change: bool = False) -> JobRow:
    """Return a job's row; `to_change` keeps other servers from changing it before we do."""
    fits = 0 < job_id < 2**31  # as databases count
    row = session.get(JobRow, job_id, with_for_update=to_change or None) if fits else None
    if row is None:
        raise UnknownError(
            f"There is no job {job_id}; /api/jobs and `sightline jobs list` show all."
        )
    return row


def _check_line(session: Session) -> None:
    waiting = (JobRow.state == "queued", JobRow.parent_id.is_(None))
    if (session.scalar(select(func.count()).where(*waiting)) or 0) >= MOST_IN_LINE:
        raise NotPossibleError(
            f"{MOST_IN_LINE} jobs wait already. Let some end, or cancel what isn't needed."
        )


def _add_lines(session: Session, job_id: int, lines: Sequence[str]) -> None:
    """Add to a log; NUL, which PostgreSQL refuses, is shown as a question mark."""
    if not lines:
        return
    rows = [
        {"job_id": job_id, "text": line[:LONGEST_LINE].replace("\0", "?")}
        for line in lines[-MOST_LINES:]
    ]
    session.execute(insert(JobLineRow), rows)
    mine = JobLineRow.job_id == job_id
    many = session.scalar(select(func.count()).select_from(JobLineRow).where(mine)) or 0
    if many > MOST_LINES:
        first_kept = session.scalar(
            select(JobLineRow.id)
            .where(mine)
            .order_by(JobLineRow.id.desc())
            .offset(MOST_LINES - 1)
            .limit(1)
        )
        session.execute(delete(JobLineRow).where(mine, JobLineRow.id < first_kept))


def _children(
    session: Session, ids: Sequence[int], *, results: bool = False
) -> dict[int, tuple[Job, ...]]:
    asked = select(JobRow).where(JobRow.parent_id.in_(ids)).order_by(JobRow.id)
    children: dict[int, tuple[Job, ...]] = {}
    for row in session.scalars(asked.options(*([] if results else [_NO_RESULT]))):
        parent_id = cast(int, row.parent_id)
        child = _job(row, result=row.result if results else None)
        children[parent_id] = (*children.get(parent_id, ()), child)
    return children


def _job(row: JobRow, children: tuple[Job, ...] = (), result: dict[str, Any] | None = None) -> Job:
    return Job(
        id=row.id,
        parent_id=row.parent_id,
        kind=cast(Kind, row.kind),
        title=row.title,
        request=row.request,
        device=row.device,
        state=cast(State, row.state),
        progress=row.progress,
        doing=row.doing,
        result=result,
        error=row.error,
        owner=row.owner,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        children=children,
    )
