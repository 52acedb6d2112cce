"""Aims: what the model that ships should reach, and whether it does."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sightline_training.measure.tables import table

_HOLDS = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and its bound."""

    what: str
    bound: float
    holds: str  # "≥", "≤" or "<"
    digits: int  # of the figure as printed
    unit: str = ""
    accuracy: bool = True  # a speed is missed on a busy machine without any fault of the model


@dataclass(frozen=True, slots=True)
class Verdict:
    """An aim and what was measured; None: nothing to measure it on."""

    aim: Aim
    got: float | None

    @property
    def met(self) -> bool | None:
        """Say whether the aim is met; None if it wasn't measured."""
        return None if self.got is None else bool(_HOLDS[self.aim.holds](self.got, self.aim.bound))


AIMS = {
    "face": Aim("face AP50", 0.80, "≥", 3),
    "person": Aim("person AP50", 0.50, "≥", 3),
    "face tall": Aim("face AP50, tall boxes", 0.90, "≥", 3),
    "person tall": Aim("person AP50, tall boxes", 0.65, "≥", 3),
    "size": Aim("file", 6.0, "≤", 1, " MB"),
    "speed": Aim("pictures a second, OpenVINO, 2 threads", 60, "≥", 0, accuracy=False),
    "int8 loss": Aim("AP50 lost by the INT8 file, worse class", 0.01, "≤", 3),
    "flicker": Aim("frames in which a person standing still flickers", 3.0, "<", 1, " %"),
    "alarms": Aim("false alarms in 100 pictures", 3.0, "≤", 1),
}


def judge(name: str, got: float | None, where: str = "") -> Verdict:
    """Hold a figure against its aim; `where` names one of several places it was measured."""
    aim = AIMS[name]
    if where:
        what = f"{aim.what}, {where}"
        aim = Aim(what, aim.bound, aim.holds, aim.digits, aim.unit, aim.accuracy)
    return Verdict(aim, got)


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """Lay verdicts out as Markdown."""
    words: Mapping[bool | None, str] = {True: "yes", False: "no", None: "not measured"}
    rows = []
    for verdict in verdicts:
        aim, got = verdict.aim, verdict.got
        shown = "-" if got is None else f"{got:.{aim.digits}f}{aim.unit}"
        bound = f"{aim.holds} {aim.bound:g}{aim.unit}"
        rows.append((aim.what, bound, shown, words[verdict.met]))
    return table(("what", "aim", "got", "met"), rows)


def accurate(verdicts: Iterable[Verdict]) -> bool:
    """Say whether no aim of accuracy is missed or unmeasured; speeds don't count."""
    return all(v.met is True for v in verdicts if v.aim.accuracy)
