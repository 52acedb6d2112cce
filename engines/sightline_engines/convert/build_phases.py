"""How far TensorRT's builder is: its nested phases as one share."""

from __future__ import annotations

import threading
from typing import Any

from sightline_engines.errors import SightlineError
from sightline_engines.progress import Progress


class BuildPhases:
    """Turns phases that begin, step and end into a share that only grows.

    TensorRT calls from several threads, and a builder must not see an exception: a listener that
    fails ends the build instead.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._open: dict[str, list[Any]] = {}  # name -> [parent, steps, steps done], outer first
        self._lock = threading.Lock()
        self._told = 0.0
        self.failure: Exception | None = None  # of the listener

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase of so many steps, within another or by itself."""
        with self._lock:
            self._open[name] = [parent, max(1, steps), 0]
            self._tell(name)

    def step(self, name: str, step: int) -> bool:
        """End a phase's step, counted from 0; False asks TensorRT to stop."""
        with self._lock:
            if name in self._open:
                self._open[name][2] = step + 1
                self._tell(name)
            return self.failure is None

    def finish(self, name: str) -> None:
        """End a phase, whether or not all its steps were."""
        with self._lock:
            self._open.pop(name, None)

    def _tell(self, name: str) -> None:
        if self.failure is not None:
            return
        _, steps, done = self._open[name]
        self._told = max(self._told, self._share(name))
        try:
            self._progress(self._told, f"{name}, {min(done + 1, steps)} of {steps}")
        except (OSError, ValueError, SightlineError) as error:
            self.failure = error

    def _share(self, name: str) -> float:
        """Return the share of the outermost phase that is done, down to a step of this one."""
        share, seen = 0.0, set[str]()
        inner: str | None = name
        while inner is not None and inner in self._open and inner not in seen:
            seen.add(inner)
            inner, steps, done = self._open[inner]
            share = min(1.0, (done + share) / steps)
        return share


def monitor(trt: Any, phases: BuildPhases) -> Any:
    """Return TensorRT's kind of listener that passes on to `phases`."""

    class _Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return phases.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return _Monitor()
