"""One engine at work: batch after batch, and its return after a crash or a hang."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sightline_backend.batch import BatchRun, Done, Failed, NotRun, Outcome, Work
from sightline_backend.breaker import Breaker
from sightline_backend.costs import costs_beside
from sightline_backend.observer import Observer
from sightline_backend.pending import Pending
from sightline_backend.scheduler import Scheduler, Ticket
from sightline_backend.serving.devices import Devices
from sightline_backend.serving.engine_share import Rank
from sightline_backend.serving.turns import Turn, Waiting
from sightline_backend.workers.runner import Runner, RunnerLost
from sightline_engines.errors import SightlineError

__all__ = ["Lane", "Observer", "Pending", "Shared", "Tap"]

ENGINE_FAULTS = ("engine_failed", "engine_memory", "internal")
FAILING_AFTER = 5  # batches in a row; a GPU whose context is broken never recovers by itself
ASK_EVERY_S = 0.5  # how a server is that was away
EXPIRE_EVERY_S = 0.05  # how often late frames are let go while no engine runs

_RESTARTING = "The engine is being started again after a failure; try again in a moment."
INTERNAL = Failed("internal", "The server failed on this frame; its log says why.")

log = logging.getLogger(__name__)

Tap: TypeAlias = Callable[[Work, Outcome], None]


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What the lanes of one batcher have in common."""

    scheduler: Scheduler[Pending]
    observer: Observer
    news: asyncio.Event  # set when a frame comes
    changed: Callable[[], None]  # called when a lane's `trouble` has changed
    reload_s: float  # a restart that takes longer is given up
    devices: Devices  # and whose turn it is there, with the engines of other models
    some_run: Callable[[], bool]  # whether any lane of this model is without trouble
    background: bool = False  # yields to all of them
    at_server: bool = False  # which may be away already


class Lane:
    """Takes batches from the scheduler for one runner, until it is told to stop."""

    def __init__(self, runner: Runner, shared: Shared) -> None:
        self.runner = runner
        self.trouble: str | None = None  # why no frame can run, in words for a client
        self.resting = False  # not even being started again
        self.tap: Tap | None = None  # sees every frame that ran, once it has its outcome
        self._scheduler = shared.scheduler
        self._observer = shared.observer
        self._news = shared.news
        self._changed = shared.changed
        self._reload_s = shared.reload_s
        self._devices = shared.devices
        self._turns = shared.devices.at(self, runner.served.device)
        self._some_run = shared.some_run
        self._background = shared.background
        self._unwell = shared.at_server  # that is away, whoever answers for it; or who knows
        self._ask_at_s = 0.0
        self._in_line: Waiting | None = None
        self._breaker = Breaker()
        self._stopping = asyncio.Event()
        self._failures = 0

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stopping.set()
        if self._in_line is not None:
            self._turns.call_off(self._in_line)

    async def work(self) -> None:
        """Run batches until `stop`; nothing that goes wrong with one ends this."""
        lost: RunnerLost | None = None
        while not self._stopping.is_set():
            try:
                if lost is not None:
                    known, lost = lost, None
                    await self._revive(known)
                else:
                    await self._step()
            except RunnerLost as error:
                lost = error
            except Exception:  # the outermost loop: whatever happens, it goes on
                log.exception("the batcher failed")
                for ticket in self._scheduler.drain():
                    ticket.item.end(INTERNAL, self._observer)

    async def _step(self) -> None:
        """Run the next batch, or wait until there may be one."""
        self._news.clear()
        if self._unwell and not await self._asked():
            return
        turns = self._turns  # the batch may show that the engine has moved
        turn = await self._turn()
        if turn is None:
            return
        ran = False
        try:
            now_s = time.monotonic()
            decision = self._scheduler.next(now_s)
            for ticket in decision.late:
                ticket.item.end(NotRun("late"), self._observer)
            if decision.batch:
                ran = True
                await self._run(decision.batch)
        finally:
            turns.end(turn, ran)
        if ran:
            return
        await self._rest(None if decision.wake_s is None else max(0.0, decision.wake_s - now_s))

    async def _turn(self) -> Turn | None:
        """Take a turn at the device, or wait for it; None if there is no need any more."""
        name = self.runner.spec.name
        expected_s = self._scheduler.times.mean(self._scheduler.best_size)
        turn = self._turns.take(name, self._rank, expected_s)
        if turn is not None:
            return turn
        if not self._scheduler.waiting:  # nothing to get in line for
            await self._rest(None)
            return None
        self._in_line = waiting = self._turns.line_up(name, self._rank, expected_s)
        try:
            return await waiting.turn
        except asyncio.CancelledError:
            self._turns.call_off(waiting)
            raise
        finally:
            self._in_line = None

    async def _rest(self, seconds: float | None) -> None:
        """Wait for news; None: as long as it takes, if there is no server to ask after."""
        if self._unwell:
            seconds = min(ASK_EVERY_S, ASK_EVERY_S if seconds is None else seconds)
        if seconds is None:
            await self._news.wait()
        else:
            await _wait(self._news, seconds)

    async def _asked(self) -> bool:
        """Ask now and then how the server is that was away; tell whether to take frames.

        They fail at once, so that each sender is told. While another engine of this model is
        well they are left to that.
        """
        if time.monotonic() >= self._ask_at_s:
            self._heed(await self.runner.run([], 0.0))
        if self.trouble is None or not self._some_run():
            return True
        await _wait(self._stopping, ASK_EVERY_S)
        return False

    def _heed(self, run: BatchRun) -> None:
        """Note how it stands with the server that runs the model, if one does."""
        remote = run.remote
        if remote is None:
            return
        for call in remote.calls:
            self._observer.triton_called(call.result, call.seconds)
        self._turns = self._devices.at(self, remote.served.device)  # a standby is elsewhere
        fallen_back = remote.served.engine != "triton"
        if any(isinstance(outcome, Done) for outcome in run.outcomes):
            self._observer.fell_back(fallen_back)
        self._unwell = fallen_back or remote.trouble is not None
        self._ask_at_s = time.monotonic() + ASK_EVERY_S
        if remote.trouble != self.trouble:
            self._tell(remote.trouble)

    def _rank(self) -> Rank:
        if self._background:
            return Rank.BACKGROUND
        return Rank.PROMISED if self._scheduler.owes else Rank.SHARED

    async def _run(self, batch: list[Ticket[Pending]]) -> None:
        works = [ticket.item.work for ticket in batch]
        started_s = time.monotonic()
        try:
            run = await self.runner.run(works, self._scheduler.times.cautious(len(batch)))
        except RunnerLost:
            self._end(batch, [_LOST] * len(batch))
            raise
        except asyncio.CancelledError:  # the server stops and the batch takes too long
            self._end(batch, [NotRun("closing")] * len(batch))
            raise
        except Exception:  # a bug in one batch must not fail the frames that wait
            log.exception("a batch of %d failed", len(batch))
            run = BatchRun([INTERNAL] * len(batch))
        finally:
            self._observer.engine_worked(self.runner.spec.name, time.monotonic() - started_s)
        self._end(batch, run.outcomes)
        self._learn(batch, run, time.monotonic() - started_s)
        self._heed(run)
        self._watch(run)

    def _learn(self, batch: list[Ticket[Pending]], run: BatchRun, elapsed_s: float) -> None:
        answered = sum(isinstance(outcome, Done) for outcome in run.outcomes)
        costs = costs_beside(run, elapsed_s)
        self._scheduler.ran(batch, run.engine_s, time.monotonic(), costs, answered)
        if run.engine_s is not None:
            self._observer.batch_ran(answered, run.engine_s)
        if run.most is not None:
            log.warning("too much for memory or deadline: batches of at most %d from now", run.most)
            self._scheduler.limit(run.most)

    def _watch(self, run: BatchRun) -> None:
        """Raise RunnerLost once batch after batch has failed; bad pictures don't count."""
        if run.engine_s is not None:
            self._failures = 0
        elif any(isinstance(o, Failed) and o.code in ENGINE_FAULTS for o in run.outcomes):
            self._failures += 1
            if self._failures >= FAILING_AFTER:
                raise RunnerLost("failing", f"{self._failures} batches in a row failed")

    async def _revive(self, lost: RunnerLost) -> None:
        """Start the engine again, as often as the breaker allows; frames meanwhile run late."""
        self._failures = 0
        why = lost.message
        self._tell(_RESTARTING)
        while not self._stopping.is_set():
            rest_s = self._breaker.lost(time.monotonic())
            log.error("engine %s %s: %s", self.runner.spec.name, lost.reason, why)
            if rest_s:
                log.error("too many restarts: the next try is in %.0f s", rest_s)
                self._tell(_resting(why), resting=True)
                await self._meanwhile(asyncio.create_task(asyncio.sleep(rest_s)))
                if self._stopping.is_set():
                    return
                self._tell(_RESTARTING)
            self._breaker.restarted(time.monotonic())
            self._observer.engine_restarted(lost.reason)
            restart = asyncio.create_task(self._restart())
            await self._meanwhile(restart)
            if restart.cancelled():
                return
            failure = restart.result()
            if failure is None:
                log.info("engine %s runs again", self.runner.spec.name)
                self._tell(None)
                return
            why = failure

    async def _restart(self) -> str | None:
        """Start the engine and return what kept it from starting."""
        try:
            async with asyncio.timeout(self._reload_s):
                await self.runner.start(measure_up_to=None)
        except TimeoutError:
            return f"it took more than {self._reload_s:.0f} s to load"
        except SightlineError as error:
            return error.message
        except Exception:  # a runtime's own error; the next try may do better
            log.exception("a restart failed")
            return "the restart failed; the log says why"
        return None

    async def _meanwhile(self, task: asyncio.Task[Any]) -> None:
        """Wait for a task, ending the frames that become late; a stop cancels it."""
        stopping = asyncio.create_task(self._stopping.wait())
        while not task.done() and not stopping.done():
            both: set[asyncio.Task[Any]] = {task, stopping}
            await asyncio.wait(both, timeout=EXPIRE_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for ticket in self._scheduler.expire(time.monotonic()):
                ticket.item.end(NotRun("late"), self._observer)
        stopping.cancel()
        task.cancel()
        await asyncio.wait({task})

    def _tell(self, trouble: str | None, resting: bool = False) -> None:
        self.trouble, self.resting = trouble, resting
        self._changed()

    def _end(self, batch: list[Ticket[Pending]], outcomes: list[Outcome]) -> None:
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.item.end(outcome, self._observer)
        if self.tap is not None:
            for ticket, outcome in zip(batch, outcomes, strict=True):
                self.tap(ticket.item.work, outcome)


_LOST: Outcome = Failed(
    "engine_lost",
    "The engine stopped while it had this frame and is being started again; send the next frame.",
)


def _resting(why: str) -> str:
    return (
        f"The engine failed again and again ({why}) and rests for a minute; the server's log "
        "says more. A smaller SIGHTLINE_MAX_BATCH, another SIGHTLINE_ENGINE or another model may "
        "run."
    )


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
