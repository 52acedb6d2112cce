"""Errors of the server, and the HTTP status of every error a client can meet."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sightline_engines.errors import SightlineError

RefusalReason: TypeAlias = Literal["streams", "rate", "uploads", "engine", "model", "closing"]

MODEL_RETRY_S = 30.0  # models in use are left as streams end


class Refused(SightlineError):
    """The server has all it can take; trying again after `retry_after_s` may do."""

    code = "busy"

    def __init__(self, message: str, retry_after_s: float, reason: RefusalReason) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.reason = reason


class UnknownModelError(SightlineError):
    """A model was asked for that the store doesn't have."""

    code = "unknown_model"


class UnknownClassError(SightlineError):
    """A class was asked for that the model doesn't know."""

    code = "unknown_class"


class NoRoomForModelError(Refused):
    """Another model can't be loaded while all loaded ones are in use."""

    code = "no_room_for_model"

    def __init__(self, message: str) -> None:
        super().__init__(message, MODEL_RETRY_S, "model")


class ReportedError(SightlineError):
    """A failure that comes with a code of its own, from a batch or a worker process."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # a class constant elsewhere


class UnknownError(SightlineError):
    """There is no such version, artefact, job, run or data set."""

    code = "unknown"


class InUseError(SightlineError):
    """What serves, or is being worked on, can't be changed or deleted."""

    code = "in_use"


class NameTakenError(SightlineError):
    """Another model or data set has that name."""

    code = "name_taken"


class AccuracyGateError(SightlineError):
    """An artefact loses more accuracy than is allowed, or nobody measured what it loses."""

    code = "accuracy_gate"


class NotAllowedError(SightlineError):
    """The server is set up not to do that, or was told no password."""

    code = "not_allowed"


class NotPossibleError(SightlineError):
    """What was asked for can't be done in this state: to cancel what has ended, and the like."""

    code = "not_possible"


class StoreError(SightlineError):
    """The database or the folder of models can't be used."""

    code = "store"


class PortTakenError(SightlineError):
    """The server can't listen where it was told to."""

    code = "port_taken"


_STATUS = {
    "bad_message": 400,
    "not_allowed": 403,
    "unknown_model": 404,
    "unknown": 404,
    "in_use": 409,
    "name_taken": 409,
    "accuracy_gate": 409,
    "not_possible": 409,
    "deploy_failed": 409,
    "triton_failed": 502,
    "timeout": 408,
    "too_large": 413,
    "unsupported_format": 415,
    "bad_picture": 422,
    "corrupt_picture": 422,
    "bad_model": 422,
    "bad_archive": 422,
    "parity": 422,
    "bad_dataset": 422,
    "bad_repository": 422,
    "unknown_class": 422,
    "busy": 503,
    "closing": 503,
    "no_room_for_model": 503,
    "engine_unavailable": 503,
    "engine_lost": 503,
    "engine_away": 503,
    "store": 503,
}


def status_of(code: str) -> int:
    """Return the HTTP status of an error's code; 500 for what is the server's own fault."""
    return _STATUS.get(code, 500)
