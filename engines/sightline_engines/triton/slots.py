"""The shared memory of requests that are under way at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from sightline_engines.errors import ProviderError
from sightline_engines.triton.client import Client, SharedInput, SharedOutput
from sightline_engines.triton.errors import TritonError
from sightline_engines.triton.facts import Array
from sightline_engines.triton.port import Port
from sightline_engines.triton.shared_memory import (
    FORGET_S,
    CudaRegion,
    Region,
    SystemRegion,
    forgotten,
)
from sightline_engines.triton.tensors import numpy_type, triton_type

QUIET_S = 30.0  # after which a request that was given up no longer writes to its memory
MOST_RETIRED_BYTES = 256 << 20  # beyond which batches go as plain tensors for a while


@dataclass(frozen=True, slots=True)
class _Slot:
    input: Region
    output: Region | None

    @property
    def regions(self) -> Iterable[Region]:
        return filter(None, (self.input, self.output))

    @property
    def size(self) -> int:
        return sum(region.size for region in self.regions)


class Slots:
    """Regions for the first, second, … request at once, made when they are first needed.

    What a request used that failed is never used again: the server may still read or write it.
    It is given back after a while, on a thread that lives only as long as there is any.
    """

    def __init__(self, client: Client, *, cuda: bool, quiet_s: float = QUIET_S) -> None:
        self._client = client
        self._make: Callable[[int], Region] = CudaRegion if cuda else SystemRegion
        self._quiet_s = quiet_s
        self._slots: list[_Slot] = []
        self._lock = threading.Lock()
        self._retired: list[tuple[float, _Slot]] = []  # and when to give it back
        self._keeper: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def retired_bytes(self) -> int:
        """What lies idle because the server may still use it."""
        with self._lock:
            return sum(slot.size for _, slot in self._retired)

    def put(
        self, at: int, array: Array, port: Port, left_s: Callable[[], float]
    ) -> tuple[Array | SharedInput, str | SharedOutput]:
        """Copy an input into a slot; return what to send, and where the output is to go.

        `left_s` returns the seconds that are left for it, and raises once there are none. While
        too much memory lies idle it returns the array itself.
        """
        slot = self._slot(at, array, port, left_s)
        if slot is None:
            return array, port.output
        slot.input.write(array)
        shared = SharedInput(
            slot.input, 0, array.nbytes, triton_type(array.dtype), tuple(array.shape)
        )
        if slot.output is None:
            return shared, port.output
        return shared, SharedOutput(port.output, slot.output, 0, slot.output.size)

    def retire(self) -> None:
        """Use none of the present regions again."""
        slots, self._slots = self._slots, []
        self._give_back(slots, self._quiet_s)

    def close(self) -> None:
        """Give all of them back."""
        self._closing.set()
        if self._keeper is not None:
            self._keeper.join()
        with self._lock:
            left = [*self._slots, *(slot for _, slot in self._retired)]
            self._slots, self._retired = [], []
        self._forget(left)

    def _slot(self, at: int, array: Array, port: Port, left_s: Callable[[], float]) -> _Slot | None:
        if at < len(self._slots):
            known = self._slots[at]
            if known.input.size >= array.nbytes:
                return known
        if self.retired_bytes > MOST_RETIRED_BYTES:
            return None
        made = self._made(array, port, left_s)
        if at < len(self._slots):  # too small by now; nothing is under way there
            self._give_back([self._slots[at]], 0.0)
            self._slots[at] = made
        else:
            self._slots.append(made)
        return made

    def _made(self, array: Array, port: Port, left_s: Callable[[], float]) -> _Slot:
        """Reserve room for the pictures, or some more of them, and tell the server."""
        count = len(array)
        room = max(count, min(port.most, 1 << (count - 1).bit_length()))
        kind = numpy_type(port.output_type)
        output_size = (
            math.prod(port.output_shape) * room * kind.itemsize
            if port.output_shape is not None and kind is not None
            else 0
        )
        made: list[Region] = []
        try:
            for one in filter(None, (array.nbytes // count * room, output_size)):
                made.append(self._make(one))
                made[-1].register(self._client, left_s())
        except BaseException as error:
            self._give_back([_Slot(region, None) for region in made], self._quiet_s)
            if isinstance(error, TritonError):
                raise ProviderError(
                    f"Triton at {self._client.url} can't have our shared memory: it must run on "
                    "this machine, as a container with the same --ipc. Else set "
                    f"SIGHTLINE_TRITON_TRANSPORT=tensors. ({error.message})"
                ) from error
            raise
        return _Slot(made[0], made[1] if output_size else None)

    def _give_back(self, slots: Iterable[_Slot], in_s: float) -> None:
        due_s = time.monotonic() + in_s
        with self._lock:
            self._retired += [(due_s, slot) for slot in slots]
            if self._retired and self._keeper is None and not self._closing.is_set():
                self._keeper = threading.Thread(
                    target=self._keep, name="triton-memory", daemon=True
                )
                self._keeper.start()

    def _keep(self) -> None:
        """Give back what is due, until nothing is left."""
        while True:
            with self._lock:
                now_s = time.monotonic()
                due = [one for one in self._retired if one[0] <= now_s]
                self._retired = [one for one in self._retired if one[0] > now_s]
                next_s = min((one[0] for one in self._retired), default=None)
                if next_s is None and not due:
                    self._keeper = None
                    return
            self._forget(slot for _, slot in due)
            # Nor is one asked for sooner that came in the meantime: there is no hurry.
            wait_s = 0.0 if next_s is None else min(1.0, next_s - now_s)
            if self._closing.wait(wait_s):
                return

    def _forget(self, slots: Iterable[_Slot]) -> None:
        end_s = time.monotonic() + FORGET_S
        there = True
        for slot in slots:
            for region in slot.regions:
                unregister = partial(region.unregister, self._client)
                there = there and forgotten(unregister, end_s)
                with suppress(OSError):
                    region.close()
