"""What the last step of either kind answers: one JSON text a picture."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_engines.triton.steps.names import FACTS, OUTPUT_JSON, PROBLEM
from sightline_engines.triton.steps.step import Answer, PictureFacts, Request, texts

Found = Mapping[str, Any]  # what is said of a picture beside who says it
Look = Callable[[NDArray[np.float32], PictureFacts], Found]


@dataclass(frozen=True, slots=True)
class Answerer:
    """Says of each picture what a deployment found in it."""

    model: str
    deployment: int
    sha256: str
    output: str  # the network's output

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that are looked at."""
        return self.output, FACTS, PROBLEM

    def run(
        self, requests: Sequence[Request], look_for: Callable[[Mapping[str, Any]], Look]
    ) -> list[Answer]:
        """Answer each request by what `look_for` makes of its parameters; it may raise ValueError.

        A request that fails is answered with an error of its own.
        """
        answers: list[Answer] = []
        for request in requests:
            try:
                answers.append(self._answer(request, look_for))
            except Exception as error:  # the other requests of the batch have done nothing
                answers.append(f"{type(error).__name__}: {error}")
        return answers

    def _answer(
        self, request: Request, look_for: Callable[[Mapping[str, Any]], Look]
    ) -> dict[str, NDArray[Any]]:
        raw = np.asarray(request.arrays[self.output], np.float32)
        facts = [PictureFacts(*map(float, row)) for row in request.arrays[FACTS]]
        problems = [problem.decode() for problem in request.arrays[PROBLEM].ravel()]
        try:
            look = look_for(request.parameters)
        except ValueError as error:
            said = json.dumps({"error": {"code": "bad_request", "message": str(error)}})
            return {OUTPUT_JSON: texts([said] * len(facts))}
        said_of = [
            f'{{"error": {problem}}}' if problem else self._said(output, fact, look)
            for output, fact, problem in zip(raw, facts, problems, strict=True)
        ]
        return {OUTPUT_JSON: texts(said_of)}

    def _said(self, output: NDArray[np.float32], facts: PictureFacts, look: Look) -> str:
        started = time.perf_counter()
        found = look(output, facts)
        took_ms = (time.perf_counter() - started) * 1e3
        times = {
            "decode": round(facts.decode_ms, 3),
            "preprocess": round(facts.preprocess_ms, 3),
            "postprocess": round(took_ms, 3),
        }
        who = {"model": self.model, "deployment": self.deployment, "sha256": self.sha256}
        size = {"width": int(facts.width), "height": int(facts.height)}
        return json.dumps({**who, **size, **found, "timings_ms": times}, ensure_ascii=False)
