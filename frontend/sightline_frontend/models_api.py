"""What the pages ask and tell the detector about models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

from sightline_frontend.backend import Backend, RefusedError
from sightline_frontend.catalogue import Conversion, Listed, ModelDetail, Served
from sightline_frontend.told import told, told_all

LOADING_S = 600.0  # longest wait until a model is loaded and warm, or a large file is checked
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Described:
    """What people say of a file that they upload."""

    filename: str
    name: str | None = None  # of a new model
    model: str | None = None  # that gets a new version
    licence: str | None = None
    source: str | None = None
    description: str | None = None
    sidecar: str | None = None  # JSON


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to serve: a file, and "" or what runs it."""

    artefact_id: int
    engine: str = ""
    force: bool = False  # past the gate, for a reason
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelsApi:
    """The detector's models; every call raises BackendError."""

    backend: Backend

    def listed(self) -> tuple[Listed, ...]:
        """Return every model, the default first."""
        return told_all(Listed.from_dict, self.backend.read("/api/models"))

    def serving(self) -> tuple[Served, ...]:
        """Return what serves under each name."""
        return told_all(Served.from_dict, self.backend.read("/api/serving"))

    def conversions(self) -> tuple[Conversion, ...]:
        """Return what can be made here, and why not what can't."""
        return told_all(Conversion.from_dict, self.backend.read("/api/conversions"))

    def detail(self, name: str) -> ModelDetail:
        """Return a model with its versions and files."""
        return told(ModelDetail.from_dict, self.backend.read(_path(name)))

    def upload(
        self, file: BinaryIO, size: int, about: Described, progress: Callable[[float], None]
    ) -> ModelDetail:
        """Send a model file as it is read, a piece at a time, and return the model it became."""
        words = {name: text or None for name, text in asdict(about).items()}
        content = pieces(file, size, progress)
        made = self.backend.send("/api/models", content, size, LOADING_S, **words)
        return told(ModelDetail.from_dict, made)

    def change(self, model: str, new: Mapping[str, str]) -> None:
        """Give a model another `name` or `description`."""
        self.backend.change("PATCH", _path(model), dict(new))

    def remove(self, name: str) -> None:
        """Delete a model with all its files."""
        self.backend.change("DELETE", _path(name))

    def remove_version(self, name: str, number: int) -> None:
        """Delete a version with all its files."""
        self.backend.change("DELETE", _path(name, f"versions/{number}"))

    def remove_artefact(self, artefact_id: int) -> None:
        """Delete one file."""
        self.backend.change("DELETE", f"/api/artefacts/{artefact_id}")

    def file(self, artefact_id: int) -> bytes:
        """Return a file's bytes; an OpenVINO pair comes as a zip."""
        return self.backend.file(f"/api/artefacts/{artefact_id}/file")

    def scan(self) -> dict[str, Any]:
        """Have the model folder read again; return what was found."""
        return dict(self.backend.change("POST", "/api/models/scan", timeout_s=LOADING_S))

    def promote(self, name: str, wish: Wish) -> dict[str, Any]:
        """Let a file serve under a model's name."""
        path = _path(name, "promote")
        return dict(self.backend.change("POST", path, asdict(wish), timeout_s=LOADING_S))

    def roll_back(self, name: str) -> dict[str, Any]:
        """Let serve again what served before."""
        return dict(self.backend.change("POST", _path(name, "rollback"), timeout_s=LOADING_S))

    def shadow(self, name: str, artefact_id: int, engine: str, share: float) -> None:
        """Send a share of the frames, 0..1, to another file as well."""
        body = {"artefact_id": artefact_id, "engine": engine, "share": share}
        self.backend.change("POST", _path(name, "shadow"), body, timeout_s=LOADING_S)

    def shadow_report(self, name: str) -> dict[str, Any] | None:
        """Return how the two differ, None if nothing runs in the shadow."""
        try:
            return dict(self.backend.read(_path(name, "shadow")) or {}) or None
        except RefusedError:
            return None

    def end_shadow(self, name: str) -> None:
        """End the shadow run."""
        self.backend.change("DELETE", _path(name, "shadow"))


def pieces(file: BinaryIO, size: int, progress: Callable[[float], None]) -> Iterator[bytes]:
    """Return a file's content piece by piece, telling the share that is sent."""
    file.seek(0)
    sent = 0
    while piece := file.read(_PIECE):
        yield piece
        sent += len(piece)
        progress(min(1.0, sent / max(1, size)))


def _path(name: str, rest: str = "") -> str:
    return f"/api/models/{quote(name, safe='')}" + (f"/{rest}" if rest else "")
