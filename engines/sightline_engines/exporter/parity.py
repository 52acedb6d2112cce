"""Compare a made model's answers with those that it should give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sightline_engines.convert.options import Precision
from sightline_engines.convert.parity import ParityError
from sightline_engines.errors import ModelFileError
from sightline_engines.exporter.results import OutputError, Parity
from sightline_engines.exporter.samples import Feed

Answers: TypeAlias = Sequence[Mapping[str, NDArray[Any]]]  # by sample, then by output
Run: TypeAlias = Callable[[Feed], Mapping[str, NDArray[Any]]]

# Of an output's length, over all samples. fp32 differs by rounding, fp16 holds 3 digits; INT8 of
# small networks with random weights is off by some 5 %, one with a wrong scale by far more.
LIMITS: Mapping[Precision, float] = {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.2}
_ADVICE: Mapping[Precision, str] = {
    "fp32": "The module may choose its way by its input's values or size, which tracing can't see; "
    "export it as TorchScript (torch.jit.script) or take the choice out.",
    "fp16": "Its values may be too large for fp16; take fp32.",
    "int8": "Calibrate on more samples, and on ones like those that it will see, or take fp16.",
}


def expected_answers(run: Run, feeds: Sequence[Feed], whose: str) -> Answers:
    """Return the answers to compare with; raises ModelFileError where they are no numbers."""
    answers = [run(feed) for feed in feeds]
    for answer in answers:
        for name, value in answer.items():
            if not np.isfinite(value).all():
                raise ModelFileError(
                    f"{whose} answers {name} with what is no finite number, so nothing can be "
                    "compared with it. Give calibration samples like those that it will see."
                )
    return answers


def compare(expected: Answers, found: Answers, source: str, precision: Precision) -> Parity:
    """Return how far apart two models are; raises ParityError where shapes or values differ."""
    limit = LIMITS[precision]
    names = tuple(expected[0])
    errors = tuple(
        _error(name, [one[name] for one in expected], [one.get(name) for one in found])
        for name in names
    )
    parity = Parity(source, len(expected), limit, errors)
    if not parity.error <= limit:  # neither is one that is no number
        worst = max(errors, key=lambda one: (np.isnan(one.error), one.error))
        raise ParityError(
            f"In {precision} the model doesn't answer as {source} does: its output {worst.name} is "
            f"off by {worst.error:.2%} on {len(expected)} samples, and {limit:.2%} is the most. "
            + _ADVICE[precision]
        )
    return parity


def _error(
    name: str, expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any] | None]
) -> OutputError:
    wrong, whole, largest = 0.0, 0.0, 0.0
    for one, other in zip(expected, found, strict=True):
        if other is None or other.shape != one.shape:
            got = "nothing" if other is None else str(list(other.shape))
            raise ParityError(
                f"The output {name} should be {list(one.shape)}, but is {got}: the module may "
                "depend on its input's size. Name the open axes in dynamic_axes, or fix the size."
            )
        if one.dtype.kind in "iub":
            wrong += float(np.count_nonzero(one != other))
            whole += float(one.size)
            continue
        difference = one.astype(np.float64) - other.astype(np.float64)
        largest = max(largest, float(np.abs(difference).max(initial=0)))
        wrong += float(np.sum(difference**2))
        whole += float(np.sum(one.astype(np.float64) ** 2))
    if expected[0].dtype.kind in "iub":
        return OutputError(name, 0.0, wrong / max(whole, 1.0))
    return OutputError(name, largest, float(np.sqrt(wrong / whole)) if whole else float(wrong**0.5))
