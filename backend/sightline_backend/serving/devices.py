"""The devices that the engines of one model are at."""

from __future__ import annotations

from sightline_backend.serving.turns import Machine, Member, Turns


class Devices:
    """Counts a model in where its engines are, and out where none is any more.

    An engine moves when a server's standby answers on this machine, and when the server is back.
    """

    def __init__(self, machine: Machine, member: Member, model: str) -> None:
        self._machine = machine
        self._member = member
        self._model = model
        self._at: dict[object, Turns] = {}  # by engine
        self._left = False

    def at(self, engine: object, served_on: str) -> Turns:
        """Note where an engine is; returns the turns there."""
        turns = self._machine.turns(served_on)
        before = self._at.get(engine)
        if turns is before or self._left:
            return turns
        self._at[engine] = turns
        turns.join(self._member, self._model)
        if before is not None and before not in self._at.values():
            before.leave(self._member)
        return turns

    def leave(self) -> None:
        """Count the model nowhere."""
        self._left = True
        for turns in set(self._at.values()):
            turns.leave(self._member)

    @property
    def promised_elsewhere(self) -> float:
        """The part that other models' streams are promised, where that is most; 0 to 1."""
        found = (turns.promised_elsewhere(self._member) for turns in set(self._at.values()))
        return max(found, default=0.0)

    @property
    def promised_before(self) -> float:
        """The frames a second promised by other engines of the same model on these devices."""
        found = (turns.promised_before(self._member) for turns in set(self._at.values()))
        return max(found, default=0.0)
