"""An engine of this machine that answers while Triton doesn't."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from sightline_engines.errors import EngineError, ProviderError, SightlineError
from sightline_engines.postprocess import DetectOptions
from sightline_engines.triton.engine import load_triton
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.remote import Call, PictureAnswer, PictureRefusal, RemoteEngine
from sightline_engines.types import Engine, Format, ModelSpec, RawOutput, ServedModel, Tensor

log = logging.getLogger(__name__)


def load_remote(
    spec: ModelSpec,
    options: TritonOptions | None,
    *,
    threads: int | None = None,
    may_be_away: bool = False,
) -> RemoteEngine:
    """Load the engine triton, and beside it the standby that the options name.

    Raises what `load_triton` does. Without a standby that runs here, such as for a plan of
    another machine, there is none, and the log says why.
    """
    known = _checked(spec, options)
    remote = load_triton(spec, known, may_be_away=may_be_away)
    if known.fallback is None:
        return remote
    from sightline_engines.load import load_engine

    try:
        return StandbyEngine(remote, load_engine(spec, known.fallback, threads=threads))
    except SightlineError as error:
        log.warning("there is no standby for %s at Triton: %s", spec.name, error.message)
        return remote


def missing_at(spec: ModelSpec, options: TritonOptions | None) -> str | None:
    """Return why a server can't run a model, None if it can; blocks for some seconds at most."""
    try:
        load_triton(spec, replace(_checked(spec, options), transport="tensors")).close()
    except SightlineError as error:
        return error.message
    return None


def _checked(spec: ModelSpec, options: TritonOptions | None) -> TritonOptions:
    if options is None:
        raise ProviderError(
            "Engine triton needs Triton's address: set SIGHTLINE_TRITON_GRPC_URL, such as "
            "triton:8001, or SIGHTLINE_TRITON_HTTP_URL and SIGHTLINE_TRITON_PROTOCOL=http."
        )
    if spec.format not in (Format.ONNX, Format.TENSORRT):
        raise ProviderError(
            f"{spec.path.name} can't run at Triton, which takes ONNX files and plans: convert it "
            "to one of them."
        )
    return options


class StandbyEngine:
    """Asks the server, and where that fails the engine beside it, with the very same batch.

    `served` is who answered last; `fallback` says so and why while that is the standby.
    """

    def __init__(self, remote: RemoteEngine, local: Engine) -> None:
        """Both run the same model, and are closed with this."""
        self._remote = remote
        self._local = local
        self._why: str | None = None  # of a single failure, after which the server is asked again

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._remote.spec

    @property
    def served(self) -> ServedModel:
        """What answers, for showing."""
        why = self._remote.trouble or self._why
        if why is None:
            return self._remote.served
        served = self._local.served
        other = f" {served.fallback}" if served.fallback else ""
        said = f"{served.engine} of this machine answers in Triton's place. {why}{other}"
        return replace(served, fallback=said)

    @property
    def trouble(self) -> str | None:
        """Why no batch is answered: the standby always does."""
        return None

    def take_calls(self) -> tuple[Call, ...]:
        """Return how what was sent to the server since the last time fared."""
        return self._remote.take_calls()

    def infer(self, tensor: Tensor) -> RawOutput:
        """Run a batch of 1..n pictures; raises EngineError where both fail."""
        try:
            raw = self._remote.infer(tensor)
        except EngineError as error:
            self._why = None if self._remote.trouble else error.message
            return self._local.infer(tensor)
        self._why = None
        return raw

    def detect_pictures(
        self, pictures: Sequence[bytes], options: Sequence[DetectOptions]
    ) -> list[PictureAnswer | PictureRefusal] | None:
        """Have the server detect in encoded pictures; None where it fails: then `infer` is next."""
        try:
            found = self._remote.detect_pictures(pictures, options)
        except EngineError:
            return None
        if found is not None:
            self._why = None
        return found

    def close(self) -> None:
        """Close both."""
        self._remote.close()
        self._local.close()
