"""Engines that were replaced: of each model the last one is kept a while, for a rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from sightline_backend.place import Place

KEEP_S = 600.0  # unless room is needed


class Shelf:
    """The engine that was replaced last, by model, and older ones that somebody still uses."""

    def __init__(self) -> None:
        self._kept: dict[str, Place] = {}
        self._older: set[Place] = set()  # each goes with its last user

    def __contains__(self, place: Place) -> bool:
        return self._kept.get(place.spec.name) is place or place in self._older

    def __iter__(self) -> Iterator[Place]:
        """Yield those that a rollback finds, the oldest first."""
        return iter(self._kept.values())

    @property
    def spare(self) -> list[Place]:
        """Those that nobody uses, the oldest first."""
        return [place for place in self._kept.values() if place.leases == 0]

    def used(self, name: str) -> bool:
        """Tell whether somebody is still at an engine that was replaced under a name."""
        places = (*self._kept.values(), *self._older)
        return any(place.leases for place in places if place.spec.name == name)

    def previous(self, name: str) -> Place | None:
        """Return what served a name before."""
        return self._kept.get(name)

    def put(self, place: Place) -> None:
        """Keep what was just replaced; what was kept before it goes, once nobody uses it."""
        name = place.spec.name
        older = self._kept.pop(name, None)
        self._kept[name] = place
        place.mark_replaced(True)
        if older is not None:
            self._older.add(older)
            self.released(older)

    def released(self, place: Place) -> None:
        """Note that someone has left a place; the last one begins the time after which it goes."""
        if place.leases:
            return
        if place in self._older:
            self.send_away(place)
        elif place in self and place.kept is None:
            place.kept = asyncio.get_running_loop().call_later(KEEP_S, self._expire, place)

    def take(self, place: Place) -> None:
        """Take a place off the shelf, if it is there."""
        if place in self:
            place.mark_replaced(False)
            self._older.discard(place)
            if self._kept.get(place.spec.name) is place:
                del self._kept[place.spec.name]
        if place.kept is not None:
            place.kept.cancel()
            place.kept = None

    def send_away(self, place: Place) -> None:
        """Close a place."""
        self.take(place)
        place.leave()

    def _expire(self, place: Place) -> None:
        place.kept = None
        if place in self and place.leases == 0:
            self.send_away(place)
