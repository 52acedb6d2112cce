"""What goes wrong between us and a Triton server."""

from __future__ import annotations

import re

from sightline_engines.errors import EngineAwayError, EngineError, EngineMemoryError, engine_error

# As Triton 2.51 says it, over either protocol.
_GONE = re.compile(
    r"request for unknown model|is not at ready state|has no available versions"
    r"|requested (version \S+ of )?model \S+ is not available",
    re.I,
)
_NO_REGION = re.compile(r"unable to find .*shared memory region", re.I)
_UNFIT = re.compile(
    r"stub process|is not healthy|server is stopping|server is not ready|is unavailable",
    re.I,
)
_BUSY = re.compile(r"exceeds maximum queue size|request timeout expired", re.I)


class TritonError(EngineError):
    """The server answered with an error; `status` is the protocol's own."""

    code = "triton_failed"

    def __init__(self, message: str, status: str = "") -> None:
        super().__init__(message)
        self.status = status


class ModelGoneError(EngineAwayError):
    """The server is there, the model isn't: never loaded, or unloaded."""


class ModelUnwellError(EngineAwayError):
    """The server is there and can't run the model: its process is dead, or it is being ended."""


class ModelBusyError(EngineError):
    """The server and the model are well and have too much to do: the next batch may be taken."""

    code = "busy"


class LateError(EngineAwayError):
    """The server didn't answer before the deadline: it hangs, or a batch was too large for it."""


class RegionGoneError(EngineAwayError):
    """The server is there and doesn't know our shared memory: it was started anew."""


class UnfitAnswerError(EngineAwayError):
    """The server answered, and not as this model does: another one bears its name."""


def away(url: str, what: str) -> EngineAwayError:
    """Return the error for a server that doesn't answer."""
    return EngineAwayError(
        f"Triton at {url} doesn't answer: {what}. See that it runs, that the address is right and "
        "that nothing between here and there blocks it."
    )


def late(url: str, timeout_s: float) -> LateError:
    """Return the error for an answer that didn't come in time; `timeout_s` as it was set."""
    return LateError(
        f"Triton at {url} didn't answer within {timeout_s:g} s. It hangs, or it is too slow for "
        "what is sent: give the model more instances, or raise SIGHTLINE_TRITON_TIMEOUT_MS."
    )


def answered(url: str, status: str, said: str) -> EngineError:
    """Return the error for one that the server answered with."""
    said = said.rstrip(". ")
    if _GONE.search(said):
        return ModelGoneError(f"Triton at {url} doesn't have the model: {said}. Load it there.")
    if _NO_REGION.search(said):
        return RegionGoneError(f"Triton at {url} was started anew: {said}.")
    if _UNFIT.search(said):
        return ModelUnwellError(f"Triton at {url} can't run the model at the moment: {said}.")
    if _BUSY.search(said):
        return ModelBusyError(
            f"Triton at {url} has too much to do: {said}. Give the model more instances or a "
            "longer queue, or send less."
        )
    found = engine_error("Triton", RuntimeError(said))
    return (
        found
        if isinstance(found, EngineMemoryError)
        else TritonError(f"Triton at {url} failed: {said or 'it says no more'}.", status)
    )
