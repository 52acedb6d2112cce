"""An artefact that may be asked to serve."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sightline_backend.errors import NotPossibleError, UnknownError
from sightline_backend.serving.plans import Plans
from sightline_backend.store.records import Artefact, Model
from sightline_backend.store.store import Store
from sightline_engines.types import Format, ModelSpec

ENGINES = {
    Format.ONNX: ("", "auto", "onnxruntime", "openvino", "triton"),
    Format.OPENVINO: ("", "auto", "openvino"),
    Format.TENSORRT: ("", "auto", "tensorrt", "triton"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An artefact of a model that can run here, and how."""

    model: Model
    artefact: Artefact
    spec: ModelSpec  # under the model's name, with its engine


def runnable(store: Store, plans: Plans, name: str, artefact_id: int, engine: str) -> Candidate:
    """Return an artefact ready to be loaded; blocks.

    Raises UnknownError or UnknownModelError, or NotPossibleError where it can't run.
    """
    model = store.models.model(name)
    artefact = store.models.artefact(artefact_id)
    if artefact.model != model.name:
        raise UnknownError(f"{model.name} has no artefact {artefact_id}; it is {artefact.model}'s.")
    if artefact.spec is None:
        raise NotPossibleError(
            f"Artefact {artefact_id} is a checkpoint, which can't serve: convert it to onnx first."
        )
    known = ENGINES.get(artefact.format, ())
    if engine not in known:
        raise NotPossibleError(
            f"{artefact.format} doesn't run on {engine[:40]!r}; known are "
            f"{', '.join(name for name in known if name)}, or none for what the server is set to."
        )
    spec = replace(artefact.spec, name=model.name, engine=engine)
    problem = plans.problem(spec) or plans.absence(spec)
    if problem is not None:
        raise NotPossibleError(problem)
    return Candidate(model, artefact, spec)
