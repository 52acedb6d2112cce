"""Whether a server can be asked, and the one who looks while it can't."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from sightline_engines.errors import EngineAwayError, SightlineError
from sightline_engines.triton.errors import ModelBusyError

FAILURES_IN_A_ROW = 3  # of answers that are errors; a server that doesn't answer needs but one
FIRST_S, LONGEST_S = 1.0, 8.0

log = logging.getLogger(__name__)


class Away:
    """A breaker: once the server has failed nobody asks it, apart from one probe now and then.

    The probes run on a thread that lives only while the server is away.
    """

    def __init__(
        self, probe: Callable[[], object], first_s: float = FIRST_S, longest_s: float = LONGEST_S
    ) -> None:
        """`probe` runs a real inference; it raises SightlineError as long as that fails."""
        self._probe = probe
        self._delays_s = first_s, longest_s
        self._trouble: str | None = None
        self._failures = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()

    @property
    def trouble(self) -> str | None:
        """Why the server can't be asked; None: it can."""
        return self._trouble

    def answered(self) -> None:
        """Note that the server answered as it should."""
        self._failures = 0

    def failed(self, error: SightlineError) -> None:
        """Note a failure; from the first that says "away", or the third of others, nobody asks.

        One that is merely busy is well.
        """
        if isinstance(error, ModelBusyError):
            return
        with self._lock:
            self._failures += 1
            few = self._failures < FAILURES_IN_A_ROW
            if self._trouble is not None or self._closing.is_set():
                return
            if few and not isinstance(error, EngineAwayError):
                return
            self._trouble = error.message
        log.warning("%s", error.message)
        threading.Thread(target=self._look, name="triton-probe", daemon=True).start()

    def close(self) -> None:
        """Look no more; a probe under way ends by itself."""
        self._closing.set()

    def _look(self) -> None:
        for delay_s in delays(*self._delays_s):
            if self._closing.wait(delay_s):
                return
            try:
                self._probe()
            except ModelBusyError:
                break
            except SightlineError as error:
                self._trouble = error.message
            except Exception:  # the outermost loop of this thread
                log.exception("a probe of Triton failed")
            else:
                break
        with self._lock:
            self._failures = 0
            self._trouble = None
        log.info("Triton answers again")


def delays(first_s: float, longest_s: float) -> Iterator[float]:
    """Yield how long to wait before each probe, without end: twice as long each time."""
    while True:
        yield first_s
        first_s = min(2 * first_s, longest_s)
