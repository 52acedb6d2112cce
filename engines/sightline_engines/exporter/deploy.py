"""Have Triton load a new version, and look at what it answers before it counts as done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sightline_engines.errors import SightlineError
from sightline_engines.exporter.options import ExportConfig
from sightline_engines.exporter.parity import Answers, compare
from sightline_engines.exporter.results import Deployed, OnnxExport, TritonFiles
from sightline_engines.exporter.samples import Feed
from sightline_engines.exporter.versions import Placed, place_version, take_back
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.shared_folder import check_shared
from sightline_engines.triton.turn import model_turn

if TYPE_CHECKING:
    from sightline_engines.triton.client import Client
    from sightline_engines.triton.control import Control
    from sightline_engines.triton.repository import Repository

TURN_S = 600.0  # how long another's change of the model is waited for
ANSWER_S = 60.0  # the first inference of a large model sets memory up


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the served model must answer, and whose answers those are."""

    feeds: Sequence[Feed]
    answers: Answers
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class TritonPlace:
    """A running Triton and the repository that it serves."""

    repository: Repository
    client: Client
    control: Control


def deploy_version(  # noqa: PLR0913, PLR0917  what a deployment consists of
    place: TritonPlace,
    config: ExportConfig,
    triton: TritonConfig,
    onnx: OnnxExport,
    model: Path,
    reference: Reference,
) -> tuple[TritonFiles, Deployed]:
    """Write the next version, have Triton swap to it, and compare its answers.

    Triton answers with the old version until the new one is loaded. Where it can't be loaded or
    answers otherwise than `reference`, the old config and version are back in force when this
    raises DeployError, ParityError or EngineError.
    """
    begin_s = time.perf_counter()
    check_shared(place.client, place.repository.folder)
    with model_turn(place.repository, config.model_name, TURN_S):
        with place.repository.locked():  # for the files alone: others deploy while Triton loads
            placed = place_version(place.repository, config, triton, onnx, model)
        try:
            place.control.load(config.model_name)
            version = str(placed.files.version)
            answers = [
                place.client.infer(
                    config.model_name, feed, version=version, timeout_s=ANSWER_S
                ).arrays
                for feed in reference.feeds
            ]
            parity = compare(reference.answers, answers, reference.source, config.precision)
        except BaseException:
            _restore(place, placed)
            raise
    seconds = time.perf_counter() - begin_s
    done = Deployed(config.model_name, placed.files.version, place.client.url, parity, seconds)
    return placed.files, done


def _restore(place: TritonPlace, placed: Placed) -> None:
    """Put files and Triton back to what was before; what can't be done is not what failed first."""
    name = placed.files.model_name
    with place.repository.locked():
        take_back(place.repository, placed)
    with suppress(SightlineError):
        if placed.before is None:
            place.control.unload(name)
            place.control.forget((name,))
        else:
            place.control.load(name)
