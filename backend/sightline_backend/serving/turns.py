"""Engines of different models on one device take turns, without a wait where there is one.

Everything here runs on the event loop. A turn is one batch. It is taken before the batch is
chosen, so that frames which come in the meantime still count, and a frame that is superseded
costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import mul
from typing import Protocol

from sightline_backend.serving.engine_share import EngineShare, Rank

OVERDUE_TIMES, OVERDUE_S = 3.0, 0.5  # of its expected time; a turn that takes longer than both
# of them holds nobody else up: that engine hangs, or the machine stalls

ON_TRITON = "triton"  # all that is asked of a Triton server


class Member(Protocol):
    """A model whose engines take turns."""

    @property
    def promised_part(self) -> float:
        """The part of the device that its streams are promised, 0 to 1."""
        ...

    @property
    def promised_fps(self) -> float:
        """The frames a second that its streams are promised."""
        ...


@dataclass(slots=True, eq=False)
class Turn:
    """The right to run one batch."""

    model: str
    rank: Rank
    expected_s: float
    began_s: float
    due_s: float


@dataclass(slots=True, eq=False)
class Waiting:
    """An engine in line for a turn."""

    model: str
    rank: Callable[[], Rank]
    expected_s: float
    turn: asyncio.Future[Turn | None]


class Turns:
    """Hands out turns at one device."""

    def __init__(self, at_once: Callable[[int], int]) -> None:
        """`at_once` is how many turns may be out for a number of models."""
        self._at_once = at_once
        self._share = EngineShare()
        self._out: set[Turn] = set()
        self._line: list[Waiting] = []
        self._members: dict[Member, str] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def join(self, member: Member, model: str) -> None:
        """Count a model as one of those at this device."""
        self._members[member] = model

    def leave(self, member: Member) -> None:
        """Count it no more."""
        model = self._members.pop(member, None)
        if model is not None and model not in self._members.values():
            self._share.forget(model)

    def promised_elsewhere(self, member: Member) -> float:
        """Return the part of the device that other models' streams are promised, 0 to 1."""
        name = self._members.get(member)
        return sum(one.promised_part for one, model in self._members.items() if model != name)

    def promised_before(self, member: Member) -> float:
        """Return the frames a second promised by other engines of the same model.

        Their streams come here with their next frame.
        """
        name = self._members.get(member)
        others = (one for one, model in self._members.items() if model == name)
        return sum(one.promised_fps for one in others if one is not member)

    def take(self, model: str, rank: Callable[[], Rank], expected_s: float) -> Turn | None:
        """Return a turn if one is free and nobody waits for it; never waits."""
        if self._line:
            return None
        chosen = Rank.SHARED if len(self._members) < 2 else rank()
        return self._begin(model, chosen, expected_s) if self._free(chosen) else None

    def line_up(self, model: str, rank: Callable[[], Rank], expected_s: float) -> Waiting:
        """Get in line; its `turn` comes, or None after `call_off`."""
        self._share.wait(model)
        waiting = Waiting(model, rank, expected_s, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._set_alarm()
        return waiting

    def call_off(self, waiting: Waiting) -> None:
        """Leave the line, or give back the turn that came too late to be used."""
        if waiting in self._line:
            self._line.remove(waiting)
        if not waiting.turn.done():
            waiting.turn.set_result(None)
        elif not waiting.turn.cancelled() and (turn := waiting.turn.result()) is not None:
            self.end(turn, ran=False)

    def end(self, turn: Turn, ran: bool) -> None:
        """Give a turn back; nothing is charged if nothing `ran`."""
        if turn not in self._out:
            return
        self._out.remove(turn)
        took_s = time.monotonic() - turn.began_s if ran else 0.0
        self._share.end(turn.model, turn.rank, turn.expected_s, took_s)
        if self._line:
            # Later, when who gives it back has had the chance to get in line again: else two
            # would alternate whatever their batches take.
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _begin(self, model: str, rank: Rank, expected_s: float) -> Turn:
        now_s = time.monotonic()
        due_s = now_s + max(OVERDUE_TIMES * expected_s, OVERDUE_S)
        turn = Turn(model, rank, expected_s, now_s, due_s)
        self._share.begin(model, rank, expected_s)
        self._out.add(turn)
        return turn

    def _free(self, rank: Rank) -> bool:
        """Tell whether one more turn may be out; those that take far too long don't count."""
        now_s = time.monotonic()
        busy = sum(turn.due_s > now_s for turn in self._out)
        most = 1 if rank == Rank.BACKGROUND else self._at_once(len(set(self._members.values())))
        return busy < most

    def _hand_out(self) -> None:
        """Give the turns that are free to who goes first."""
        self._line = [waiting for waiting in self._line if not waiting.turn.done()]
        while self._line:
            ranks = [(waiting.rank(), waiting.model) for waiting in self._line]
            at = self._share.first(ranks)
            if not self._free(ranks[at][0]):
                break
            waiting = self._line.pop(at)
            waiting.turn.set_result(self._begin(waiting.model, ranks[at][0], waiting.expected_s))
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Look again once a turn that is out is overdue; turns that end do so by themselves."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now_s = time.monotonic()
        due_s = min((turn.due_s for turn in self._out if turn.due_s > now_s), default=None)
        if self._line and due_s is not None:
            wait_s = due_s - now_s + 0.001
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._hand_out)


class Machine:
    """The turns at each device of this machine, and at the servers that it asks."""

    def __init__(self, instances: int = 1, cores: int = 1, in_flight: int = 1) -> None:
        """`instances` is how many engines each model has, `in_flight` how many at a server."""
        self._instances = instances
        self._cores = cores
        self._in_flight = max(instances, in_flight)
        self._turns: dict[str, Turns] = {}

    def turns(self, served_on: str) -> Turns:
        """Return the turns at a device, as `ServedModel` names it."""
        device = physical_device(served_on)
        if device not in self._turns:
            most: Callable[[int], int]
            if device == ON_TRITON:
                most = partial(mul, self._in_flight)  # who is next there is Triton's business
            else:
                most = partial(turns_at_once, device, self._instances, self._cores)
            self._turns[device] = Turns(most)
        return self._turns[device]


def physical_device(served_on: str) -> str:
    """Return "cpu", "triton", "cuda:0" of CUDA:0 and TensorRT:0, "gpu:1" of OpenVINO's GPU.1."""
    kind, _, index = served_on.lower().replace(".", ":").partition(":")
    if kind.split()[0] == ON_TRITON:
        return ON_TRITON
    if kind == "cpu":
        return kind
    return f"{'cuda' if kind == 'tensorrt' else kind}:{index or 0}"


def turns_at_once(device: str, instances: int, cores: int, models: int) -> int:
    """Return how many batches may be in hand at a device.

    A turn covers decoding and boxes, too. While one model's batch is decoded a GPU has time for
    another's, as far as there are cores: each takes about two, one to decode and one to feed it.
    """
    if device == "cpu":
        return instances
    return max(instances, min(models, cores // 2))
