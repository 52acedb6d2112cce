"""The engine triton: one model at a Triton server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from sightline_engines.errors import EngineAwayError, EngineError, ProviderError
from sightline_engines.picture import encode_jpeg
from sightline_engines.pipeline import default_options
from sightline_engines.postprocess import DetectOptions
from sightline_engines.triton import pictures as by_picture
from sightline_engines.triton.away import Away
from sightline_engines.triton.client import Answer, Client, SharedInput, SharedOutput, open_client
from sightline_engines.triton.errors import (
    LateError,
    ModelBusyError,
    ModelGoneError,
    ModelUnwellError,
    RegionGoneError,
    TritonError,
    UnfitAnswerError,
    late,
)
from sightline_engines.triton.facts import Array
from sightline_engines.triton.find import find_model
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.port import Port, checked, fed, port_of
from sightline_engines.triton.remote import Call, PictureAnswer, PictureRefusal
from sightline_engines.triton.shared_memory import sweep
from sightline_engines.triton.slots import Slots
from sightline_engines.types import ModelSpec, RawOutput, ServedModel, Tensor

T = TypeVar("T")
Left: TypeAlias = Callable[[], float]  # the seconds that are left; raises once there are none

_LOOK_S = 10.0  # for what is asked about the model while no frame waits for it
_OF_PICTURES = (ModelGoneError, ModelUnwellError, UnfitAnswerError, TritonError)


class _PicturesFailed(Exception):
    """What takes pictures failed; the model behind it may be well."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Target:
    """The model as it was found at the server."""

    name: str
    port: Port
    pictures: by_picture.PictureModel | None


def load_triton(
    spec: ModelSpec, options: TritonOptions, *, may_be_away: bool = False
) -> TritonEngine:
    """Find a model at a server, see that it is the one that is meant, and run it once.

    Raises ProviderError saying what doesn't fit, EngineAwayError for a server that is down or
    lacks the model; with `may_be_away` the engine then begins away and looks for it by itself.
    """
    try:
        client = open_client(options)
    except ValueError as error:
        raise ProviderError(f"Engine triton has {error}.") from error
    if options.transport == "system_shm":
        sweep(client)
    engine = TritonEngine(spec, options, client)
    try:
        engine.start(may_be_away=may_be_away)
    except BaseException:
        engine.close()
        raise
    return engine


class TritonEngine:
    """Runs one model at a server; made by `load_triton`. A `RemoteEngine`.

    A batch larger than the model takes goes as several requests, all under way at once. Each is
    sent once, before a deadline; where the model has been deployed anew, or the server started
    anew, it is found again and the batch sent there.
    """

    def __init__(self, spec: ModelSpec, options: TritonOptions, client: Client) -> None:
        self._spec = spec
        self._client = client
        self._timeout_s = options.timeout_s
        self._by_picture = options.transport == "pictures"
        self._slots: Slots | None = None
        if options.transport in ("system_shm", "cuda_shm"):
            self._slots = Slots(client, cuda=options.transport == "cuda_shm")
        self._served = ServedModel(
            spec.name, spec.version, "triton", spec.precision, f"Triton {client.url}"
        )
        self._target: _Target | None = None
        self._calls: list[Call] = []
        self._late_count: int | None = None  # pictures of a batch that was late, and none since
        self._away = Away(self._find)
        self._pictures_away = Away(self._try_pictures)  # its Python steps can be dead on their own

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._spec

    @property
    def served(self) -> ServedModel:
        """What answers, for showing."""
        return self._served

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent to the server at the moment; None: batches are."""
        return self._away.trouble

    def start(self, *, may_be_away: bool = False) -> None:
        """Find the model and run it once, as frames will be; see `load_triton`."""
        try:
            self._find()
            self._run(self._blank(), self._left(_LOOK_S))
        except UnfitAnswerError as error:
            raise ProviderError(error.message) from error
        except (EngineAwayError, ModelBusyError) as error:
            if not may_be_away:
                raise
            self._away.failed(EngineAwayError(error.message))
            return
        try:
            self._try_pictures()
        except EngineError as error:
            self._pictures_away.failed(error)

    def take_calls(self) -> tuple[Call, ...]:
        """Return how what was sent since the last time fared."""
        calls, self._calls = tuple(self._calls), []
        return calls

    def infer(self, tensor: Tensor) -> RawOutput:
        """Run a batch of 1..n pictures.

        Raises EngineAwayError, at once while the server is known to be away, ModelBusyError or
        TritonError.
        """
        return self._asked(lambda left_s: self._run(tensor, left_s), len(tensor))

    def detect_pictures(
        self, pictures: Sequence[bytes], options: Sequence[DetectOptions]
    ) -> list[PictureAnswer | PictureRefusal] | None:
        """Have the server decode and detect.

        None as well while its Python steps are dead, hang, or moved on to another file: the model
        itself, which `infer` asks, may be well all the same.
        """
        target = self._target
        if self._pictures_away.trouble or target is None or target.pictures is None:
            return None
        model = target.pictures

        def ask(left_s: Left) -> list[PictureAnswer | PictureRefusal]:
            try:
                return by_picture.ask(self._client, model, pictures, options, left_s())
            except LateError as error:
                raise _PicturesFailed(late(self._client.url, self._timeout_s)) from error
            except _OF_PICTURES as error:
                raise _PicturesFailed(error) from error

        try:
            return self._asked(ask, len(pictures))
        except _PicturesFailed as failure:
            self._pictures_away.failed(failure.error)
            return None

    def close(self) -> None:
        """End the connection; what is under way fails."""
        self._away.close()
        self._pictures_away.close()
        if self._slots is not None:
            self._slots.close()
        self._client.close()

    def _asked(self, ask: Callable[[Left], T], count: int) -> T:
        """Ask the server for a batch, unless it is away, and note how that went."""
        trouble = self._away.trouble
        if trouble is not None:
            raise EngineAwayError(trouble)
        started_s = time.monotonic()
        try:
            answer = self._found_again(ask, self._left(self._timeout_s))
        except _PicturesFailed as failure:  # says nothing of the model itself
            self._note(failure.error, count, started_s)
            raise
        except EngineError as failed:
            # It had what was left of the time; who reads the message knows the setting.
            is_late = isinstance(failed, LateError)
            error = late(self._client.url, self._timeout_s) if is_late else failed
            self._note(error, count, started_s)
            if self._slots is not None and not isinstance(error, ModelBusyError):
                self._slots.retire()
            self._away.failed(error)
            raise error from failed
        self._calls.append(Call("ok", time.monotonic() - started_s))
        if self._late_count is not None and count >= self._late_count:
            self._late_count = None
        self._away.answered()
        return answer

    def _note(self, error: EngineError, count: int, started_s: float) -> None:
        """Note a call that failed; a batch that is late again is too large for the deadline.

        Not at the first time: a server that hangs for once is no reason for small batches.
        """
        most = None
        if isinstance(error, LateError) and count > 1:
            most = count // 2 if self._late_count is not None else None
            self._late_count = count
        away = isinstance(error, EngineAwayError)
        seconds = time.monotonic() - started_s
        self._calls.append(Call("away" if away else "failed", seconds, most))

    def _found_again(self, ask: Callable[[Left], T], left_s: Left) -> T:
        """Ask, and once more where the model or our memory is known elsewhere or no longer."""
        try:
            try:
                return ask(left_s)
            except (ModelGoneError, RegionGoneError) as error:
                if self._slots is not None:
                    self._slots.retire()
                if isinstance(error, ModelGoneError):
                    self._target = self._look(left_s)
                return ask(left_s)
        except ProviderError as error:  # what is there now is another model, or has other memory
            raise EngineAwayError(error.message) from error

    def _find(self) -> None:
        """Find the model and run it once, by plain tensors; raises SightlineError."""
        target = self._look(self._left(_LOOK_S))
        futures = [
            self._client.start(target.name, {target.port.input: array}, timeout_s=self._timeout_s)
            for array in self._fed(self._blank(), target.port)
        ]
        _output(futures, target.port, 1, self._spec)
        self._target = target

    def _try_pictures(self) -> None:
        """Have the server detect in a picture, where it takes them; raises EngineError."""
        if self._target is None or self._target.pictures is None:
            return
        picture = encode_jpeg(self._blank()[0])
        options = [default_options(self._spec)]
        by_picture.ask(self._client, self._target.pictures, [picture], options, self._timeout_s)

    def _look(self, left_s: Left) -> _Target:
        found = find_model(self._client, self._spec, left_s)
        port = port_of(found, self._spec)
        pictures = None
        if self._by_picture:
            name, sha256 = found.pictures, found.sha256
            pictures = by_picture.picture_model(self._client, name, sha256, left_s())
        return _Target(found.name, port, pictures)

    def _run(self, tensor: Tensor, left_s: Left) -> RawOutput:
        target = self._target
        if target is None:
            raise ModelGoneError(f"Triton at {self._client.url} wasn't found to have the model.")
        futures: list[Future[Answer]] = []
        try:
            for at, array in enumerate(self._fed(tensor, target.port)):
                given, wanted = self._put(at, array, target.port, left_s)
                futures.append(
                    self._client.start(
                        target.name,
                        {target.port.input: given},
                        (wanted,),
                        timeout_s=left_s(),
                    )
                )
        finally:
            wait(futures)  # none may be under way when the next batch is written
        return _output(futures, target.port, len(tensor), self._spec)

    def _fed(self, tensor: Tensor, port: Port) -> list[Array]:
        return [fed(chunk, port, self._spec) for chunk in port.chunks(tensor)]

    def _put(
        self, at: int, array: Array, port: Port, left_s: Left
    ) -> tuple[Array | SharedInput, str | SharedOutput]:
        return self._slots.put(at, array, port, left_s) if self._slots else (array, port.output)

    def _blank(self) -> Tensor:
        width, height = self._spec.input_size_wh
        return np.zeros((1, height, width, 3), np.uint8)

    def _left(self, limit_s: float) -> Left:
        """Return what tells how much of a time limit is left, and raises LateError after it."""
        end_s = time.monotonic() + limit_s

        def left_s() -> float:
            seconds = end_s - time.monotonic()
            if seconds <= 0:
                raise late(self._client.url, limit_s)
            return seconds

        return left_s


def _output(
    futures: Sequence[Future[Answer]], port: Port, count: int, spec: ModelSpec
) -> RawOutput:
    """Return what several requests gave as one answer for `count` pictures."""
    parts: list[Array] = []
    for future in futures:
        part = future.result().arrays.get(port.output)
        if part is None or not part.ndim:
            raise UnfitAnswerError(f"Triton's answer has no output {port.output}.")
        parts.append(part)
    try:
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    except ValueError as error:
        raise UnfitAnswerError(f"Triton's answers don't fit each other: {error}.") from error
    if port.exact:  # the last request was filled up
        whole = whole[:count]
    return checked((np.asarray(whole, np.float32),), count, spec)
