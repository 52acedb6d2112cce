"""Builds plans anew that don't fit this machine, and swaps to them when they are done."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from sightline_backend.errors import UnknownError, UnknownModelError
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import ConvertRequest, JobRequest, Kind
from sightline_backend.lane import Observer
from sightline_backend.serving.plans import Plans, StalePlan
from sightline_backend.store.records import Artefact
from sightline_engines.errors import SightlineError

LOOK_EVERY_S = 1.0
RETRY_S = 3600.0  # after a build that failed

_GONE = frozenset({"unknown", "unknown_model", "bad_dataset"})  # trying again brings nothing back

log = logging.getLogger(__name__)


class Jobs(Protocol):
    """Where builds run."""

    async def submit(self, kind: Kind, request: JobRequest, parent_id: int | None = None) -> Job:
        """Put a job in line."""
        ...

    async def finished(self, job_id: int, on_event: Callable[[Job], None]) -> Job:
        """Wait until a job has ended."""
        ...


class HopelessError(SightlineError):
    """What a plan was built from is gone, so it can't be built again."""


class Rebuilds:
    """Builds stale plans one after the other, as one GPU would; use as `async with`."""

    def __init__(
        self,
        plans: Plans,
        jobs: Jobs,
        records: JobRecords,
        use: Callable[[StalePlan], Awaitable[None]],
        observer: Observer,
    ) -> None:
        """`use` has what fits now serve; `records` tell what the plan was asked for with."""
        self._plans = plans
        self._jobs = jobs
        self._records = records
        self._use = use
        self._observer = observer
        self._retry_s: dict[int, float] = {}  # by artefact: when it is tried again; inf: never
        self._task: asyncio.Task[None] | None = None

    @property
    def building(self) -> frozenset[str]:
        """The models whose plan is being built anew, or about to be."""
        stale = list(self._plans.stale.values())  # other threads add to it
        return frozenset(one.spec.name for one in stale if self._is_due(one))

    def _is_due(self, stale: StalePlan) -> bool:
        return self._retry_s.get(stale.plan.id, 0.0) <= time.monotonic()

    async def __aenter__(self) -> Rebuilds:
        """Begin with what is stale already."""
        self._task = asyncio.create_task(self._watch(), name="rebuild plans")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for no build any more; the jobs are their supervisor's."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        """Build what is stale, and what failed again in an hour, until cancelled."""
        while True:
            for stale in list(self._plans.stale.values()):
                if self._is_due(stale):
                    await self._try(stale)
                elif math.isinf(self._retry_s[stale.plan.id]):  # its model was loaded anew
                    self._forget(stale)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _try(self, stale: StalePlan) -> None:
        name, retry_s, result = stale.spec.name, RETRY_S, "failed"
        try:
            await self._build(stale)
        except (HopelessError, UnknownError, UnknownModelError) as error:
            log.error("the plan of %s is not built anew: %s %s", name, error.message, _help(stale))
            retry_s = math.inf
            self._forget(stale)
        except SightlineError as error:
            log.error("the plan of %s was not built anew: %s", name, error.message)
        except Exception:  # the outermost of a build: the ONNX serves on
            log.exception("the plan of %s was not built anew", name)
        else:
            self._forget(stale)
            result = "built"
        self._retry_s[stale.plan.id] = time.monotonic() + retry_s
        self._observer.plan_rebuild(result)

    def _forget(self, stale: StalePlan) -> None:
        if self._plans.stale.get(stale.spec.name) is stale:
            del self._plans.stale[stale.spec.name]

    async def _build(self, stale: StalePlan) -> None:
        log.warning("the plan of %s doesn't fit and is built anew: %s", stale.spec.name, stale.why)
        request = await asyncio.to_thread(_request, stale, self._records)
        job = await self._jobs.submit("convert", request)
        ended = await self._jobs.finished(job.id, lambda _: None)
        if ended.state != "done":
            error = ended.error or {}
            why = f"job {job.id} {ended.state}: {error.get('message', 'its log says more')}"
            raise HopelessError(why) if error.get("code") in _GONE else SightlineError(why)
        await self._use(stale)


def _request(stale: StalePlan, records: JobRecords) -> ConvertRequest:
    """Return what builds a plan as the job did that made it; raises HopelessError."""
    plan, passport = stale.plan, stale.plan.passport
    asked = _asked(plan, records)
    if plan.precision == "int8" and not asked.get("dataset"):
        raise HopelessError("The job that made it is gone, and with it the name of its data set.")
    values: dict[str, object] = {
        name: asked[name] for name in ("dataset", "calibration_pictures") if name in asked
    }
    if passport is not None:
        values["max_batch"] = passport.max_batch
    return ConvertRequest.model_validate(
        {
            **values,
            "model": plan.model,
            "version": plan.version,
            "artefact_id": stale.source.id,
            "format": "tensorrt",
            "precision": plan.precision,
            "input_size_wh": plan.spec.input_size_wh if plan.spec else None,
        }
    )


def _asked(plan: Artefact, records: JobRecords) -> dict[str, object]:
    """Return the request of the job that made a plan: a conversion, or a benchmark's step."""
    kind, _, number = plan.origin.partition(" ")
    for job in records.some([int(number)]) if kind == "job" and number.isdecimal() else ():
        # Numbers begin anew with a new database, and models can be renamed.
        if job.created_at <= plan.created_at or job.request.get("model") == plan.model:
            return job.request
    return {}


def _help(stale: StalePlan) -> str:
    plan = stale.plan
    return (
        f"Its ONNX serves on. Bring back what is missing and restart the server, or convert it "
        f"again and promote the new plan: sightline convert {plan.model} --format tensorrt "
        f"--precision {plan.precision} --data FOLDER"
    )
