"""The last step of a classifier: the network's scores in, the best classes as JSON out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_engines.triton.steps.answers import Answerer, Found, Look
from sightline_engines.triton.steps.step import Answer, PictureFacts, Request


class ClassesStep:
    """Ranks and names classes; a request's parameter `top_k` may ask for its own number."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._labels = tuple(spec["labels"])
        self._top_k, self._softmax = int(spec["top_k"]), bool(spec["softmax"])
        self._answerer = Answerer(
            str(spec["model"]), int(spec["deployment"]), str(spec["sha256"]), str(spec["tensor"])
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that it takes."""
        return self._answerer.inputs

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer a batch of requests, in their order."""
        return self._answerer.run(requests, self._look_for)

    def close(self) -> None:
        """Give nothing back: it holds nothing."""

    def _look_for(self, parameters: Mapping[str, Any]) -> Look:
        asked = str(parameters.get("top_k", self._top_k))
        if not asked.isdecimal() or not 1 <= int(asked) <= len(self._labels):
            most = len(self._labels)
            raise ValueError(f"top_k must be a number from 1 to {most}, not {asked[:80]!r}.")

        def look(output: NDArray[np.float32], _: PictureFacts) -> Found:
            if output.size != len(self._labels):
                raise ValueError(f"{output.size} scores for {len(self._labels)} labels")
            return {"classes": best(output, self._labels, int(asked), softmax=self._softmax)}

        return look


def best(
    output: NDArray[np.float32], labels: Sequence[str], top_k: int, *, softmax: bool
) -> list[dict[str, Any]]:
    """Return the `top_k` likeliest classes, the best first; NaN counts as never."""
    scores = np.nan_to_num(output.astype(np.float64).ravel(), nan=-np.inf)
    if softmax:
        scores = probabilities(scores)
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [
        {"class_id": i, "class_name": _named(labels, i), "score": _shown(scores[i])}
        for i in order.tolist()
    ]


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of scores; all alike where none is finite."""
    largest = scores.max()
    if not np.isfinite(largest):
        return np.full(len(scores), 1 / len(scores))
    powers = np.exp(scores - largest)
    total: NDArray[np.float64] = powers / powers.sum()
    return total


def _shown(score: float) -> float:
    return round(float(np.clip(score, 0, 1)), 4)


def _named(labels: Sequence[str], class_id: int) -> str:
    return labels[class_id] if class_id < len(labels) else str(class_id)
