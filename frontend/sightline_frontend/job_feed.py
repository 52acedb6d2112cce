"""The newest state of the detector's jobs, kept by one thread for all visitors."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict

import httpx
from httpx_sse import EventSource, SSEError

from sightline_frontend.backend import Backend, BackendError
from sightline_frontend.job import Job, flat, trees

MOST_JOBS = 300
_LISTED = 50  # of those that have ended, when the line is opened
AGAIN_S = 1.0  # before a line that broke is opened again


class JobFeed:
    """Reads /api/jobs/events until closed, opening the line again whenever it breaks."""

    def __init__(self, backend: Backend, again_s: float = AGAIN_S) -> None:
        self._backend = backend
        self._again_s = again_s
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="job-feed", daemon=True)
        self.open = False  # whether the detector's line is up

    def start(self) -> JobFeed:
        """Start reading; returns itself."""
        self._thread.start()
        return self

    def close(self, wait_s: float = 5.0) -> None:
        """Stop reading; the thread sees it when the line says something or ends."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def jobs(self) -> tuple[Job, ...]:
        """Return the jobs that are known as trees, the newest first."""
        with self._lock:
            return trees(self._jobs.values())

    def take(self, job: Job) -> None:
        """Note how a job and all below it are now."""
        with self._lock:
            for one in flat(job):
                self._jobs[one.id] = one
                self._jobs.move_to_end(one.id)
            while len(self._jobs) > MOST_JOBS:
                self._jobs.pop(min(self._jobs))

    def forget(self, job_id: int) -> None:
        """Drop a job that was removed, and all below it."""
        with self._lock:
            gone = {job_id}
            for one in sorted(self._jobs.values(), key=lambda job: job.id):
                if one.parent_id in gone:
                    gone.add(one.id)
            for one_id in gone:
                self._jobs.pop(one_id, None)

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                self._read_line()
            except (BackendError, httpx.HTTPError, SSEError, KeyError, TypeError, ValueError):
                pass  # the detector went, or isn't one: try again
            finally:
                self.open = False
            self._closing.wait(self._again_s)

    def _read_line(self) -> None:
        with self._backend.stream("/api/jobs/events") as response:
            response.raise_for_status()
            # The line begins with what waits or runs; what has ended is asked for beside it.
            listed = [Job.from_dict(one) for one in self._backend.read("/api/jobs", limit=_LISTED)]
            with self._lock:
                self._jobs.clear()
            for job in listed:
                self.take(job)
            self.open = True
            for event in EventSource(response).iter_sse():
                if self._closing.is_set():
                    return
                if event.event == "job":
                    self.take(Job.from_dict(json.loads(event.data)))
