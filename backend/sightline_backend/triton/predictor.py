"""Pictures to a deployed model, its JSON back."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from sightline_backend.errors import NotPossibleError, ReportedError, UnknownModelError
from sightline_backend.triton.link import Link
from sightline_engines.errors import EngineAwayError, PictureTooLargeError
from sightline_engines.triton.client import Answer, ModelGoneError, ModelMetadata, TritonError
from sightline_engines.triton.steps.names import IMAGE_BYTES, OUTPUT_JSON

AT_ONCE = 16  # pictures on their way to Triton; the others wait here


class Predictor:
    """Asks one model a picture; many at once, on threads of its own.

    A Triton that hangs keeps those for as long as a call may take; the loop's own threads, which
    uploads and the store need, it never gets.
    """

    def __init__(self, link: Link, max_bytes: int) -> None:
        self._link = link
        self._most = max_bytes
        self._threads = ThreadPoolExecutor(AT_ONCE, "predict")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._batched: dict[str, bool] = {}  # by name: whether the input has a batch axis

    async def predict(self, name: str, picture: bytes) -> bytes:
        """Return a deployment's JSON of a picture.

        Raises NotPossibleError without a Triton, EngineAwayError for one that is away,
        UnknownModelError for a name that it doesn't have, or what is wrong with the picture.
        """
        if self._link.why_not is not None:
            raise NotPossibleError(self._link.why_not)
        if len(picture) > self._most:
            raise PictureTooLargeError(f"A picture may have {self._most} bytes at most.")
        async with self._turns:
            self._check_there()  # here: those that waited behind a Triton that hangs, too
            try:
                loop = asyncio.get_running_loop()
                future = await loop.run_in_executor(self._threads, self._begin, name, picture)
                answer = await asyncio.wrap_future(future)
            except ModelGoneError as error:
                if self._is_deployed(name):  # it is on its way back
                    raise
                raise UnknownModelError(
                    f"Triton has no model {name[:80]!r} ready. Deploy it, load it, or name another."
                ) from error
            except TritonError:
                self._batched.pop(name, None)  # it may have been replaced by another kind
                raise
        return _told(answer, name)

    def close(self) -> None:
        """Let the threads end as their calls do."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check_there(self) -> None:
        away = self._link.away
        if away is not None:
            raise EngineAwayError(away)

    def _is_deployed(self, name: str) -> bool:
        kept = self._link.last.deployments
        return any(one.wanted and one.deployment.pictures == name for one in kept)

    def _begin(self, name: str, picture: bytes) -> Future[Answer]:
        """Send a picture; blocks while it is written."""
        client = self._link.client
        if name not in self._batched:
            self._batched[name] = _takes_batches(client.metadata(name))
        fed = np.empty((1, 1) if self._batched[name] else (1,), np.object_)
        fed.flat[0] = picture
        return client.start(name, {IMAGE_BYTES: fed}, (OUTPUT_JSON,))


def _takes_batches(model: ModelMetadata) -> bool:
    """Tell whether a model has a batch axis; raises UnknownModelError if it takes no pictures."""
    given = next((one for one in model.inputs if one.name == IMAGE_BYTES), None)
    names = [one.name for one in model.outputs]
    if given is None or given.datatype != "BYTES" or OUTPUT_JSON not in names:
        raise UnknownModelError(
            f"{model.name[:80]!r} at Triton takes no pictures: /predict needs the input "
            f"{IMAGE_BYTES} and the output {OUTPUT_JSON}, which what Sightline deploys has."
        )
    return len(given.shape) > 1


def _told(answer: Answer, name: str) -> bytes:
    """Return the JSON of an answer; an error in it is raised under its own code."""
    try:
        text = bytes(answer.arrays[OUTPUT_JSON].flat[0])
        told: Any = json.loads(text)
        error = told.get("error")
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as problem:
        raise TritonError(f"{name[:80]!r} at Triton answers no JSON: {problem}.") from problem
    if error is not None:
        raise ReportedError(str(error.get("code", "bad_picture")), str(error.get("message", "")))
    return text
