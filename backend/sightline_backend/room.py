"""Which models leave memory when another needs the room."""

from __future__ import annotations

from sightline_backend.errors import NoRoomForModelError
from sightline_backend.place import Place
from sightline_backend.shelf import Shelf


class Room:
    """The places of models by name, those that were replaced, and how many there may be."""

    def __init__(self, capacity: int) -> None:
        self.places: dict[str, Place] = {}
        self.shelf = Shelf()  # of what was replaced
        self.beside = 0  # further engines that count
        self.loading = 0  # of them, those that may never need their room
        self._capacity = capacity

    def shrink(self) -> None:
        """Send models away until there are as many as the server holds.

        There is one too many where an engine was loaded beside those that serve.
        """
        over = self._over(-self.loading)
        for place in self._leaving()[: max(0, over)]:
            self._send_away(place)

    def check(self) -> None:
        """Raise NoRoomForModelError unless one more has room, or would once others leave."""
        if self._over(1) > len(self._leaving()):
            raise NoRoomForModelError(
                f"{self._capacity} models are in memory and in use, which is the most this "
                "server holds (SIGHTLINE_MAX_MODELS). Use one of them, or try again later."
            )

    def make(self) -> list[Place]:
        """Send models away until one more has room, and return them."""
        self.check()
        leaving = self._leaving()[: max(0, self._over(1))]
        for place in leaving:
            self._send_away(place)
        return leaving

    def clear_shelf(self) -> list[Place]:
        """Send away what is kept for a rollback and isn't used, and return it."""
        spare = self.shelf.spare
        for place in spare:
            self.shelf.send_away(place)
        return spare

    def _over(self, more: int) -> int:
        """Return how many must leave for some more to have room."""
        there = len(self.places) + len(self.shelf.spare) + self.beside
        return there + more - self._capacity

    def _leaving(self) -> list[Place]:
        """Return those that may leave, in their order: first what is kept for a rollback.

        Then the least recently used ones that nobody uses. Who is at what a model replaced is
        about to use it.
        """
        idle = [
            place
            for name, place in self.places.items()
            if place.leases == 0 and place.ready.done() and not self.shelf.used(name)
        ]
        return [*self.shelf.spare, *sorted(idle, key=lambda place: place.used)]

    def _send_away(self, place: Place) -> None:
        if self.places.get(place.spec.name) is place:
            del self.places[place.spec.name]
        self.shelf.send_away(place)
