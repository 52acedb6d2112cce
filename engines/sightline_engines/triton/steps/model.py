"""Run one step of a Sightline deployment, as Triton's Python backend asks for it.

Any Python 3.7 must be able to read this file: it is what says that the one found is too old.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import triton_python_backend_utils as pb_utils

OLDEST = (3, 11)
CURE = "Run Triton from the image that Sightline's deploy folder builds, or install that."


class TritonPythonModel:
    """One instance of the step that spec.json describes."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the step; what is raised here is the reason that Triton gives for the failure."""
        check_python()
        folder = os.path.join(args["model_repository"], args["model_version"])
        sys.dont_write_bytecode = True  # the folder stays as it was made
        sys.path.insert(0, folder)  # before a Sightline that may be installed
        from sightline_engines.triton.steps.step import open_step

        with open(os.path.join(folder, "spec.json"), encoding="utf-8") as file:
            self.step = open_step(json.load(file))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request of a batch; one that fails is answered with its own error."""
        read = [self._read(request) for request in requests]
        fed = [one for one in read if not isinstance(one, str)]
        answers = iter(self._run(fed) if fed else ())
        return [response(one if isinstance(one, str) else next(answers)) for one in read]

    def finalize(self) -> None:
        """End the step's threads."""
        self.step.close()

    def _read(self, request: Any) -> Any:
        """Return a request's arrays and parameters, or a text: why they can't be read.

        Whatever it is, the other requests of the batch have done nothing; nor does the client
        need to know where in our files it happened.
        """
        from sightline_engines.triton.steps.step import Request

        try:
            return Request(
                {
                    name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                    for name in self.step.inputs
                },
                json.loads(request.parameters() or "{}"),
            )
        except Exception as error:
            return f"The request can't be read ({type(error).__name__}). Send texts as UTF-8."

    def _run(self, fed: list[Any]) -> list[Any]:
        try:
            return list(self.step.run(fed))
        except Exception as error:  # else Triton would tell each client our traceback
            return [f"The step failed ({type(error).__name__})."] * len(fed)


def response(answer: Any) -> Any:
    """Return Triton's response for a step's answer: arrays by name, or an error's text."""
    if isinstance(answer, str):
        return pb_utils.InferenceResponse([], pb_utils.TritonError(answer))
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, array) for name, array in answer.items()]
    )


def check_python(stub: str = "/proc/self/exe") -> None:
    """Raise a TritonModelException where the interpreter isn't what the step needs.

    `stub` is the program that runs this: Triton's Python backend.
    """
    if sys.version_info < OLDEST:
        fail("Python {}.{} runs this step".format(*sys.version_info[:2]), "Python 3.11 or newer")
    for name in ("numpy", "cv2"):
        try:
            __import__(name)
        except ImportError as error:
            fail(f"{name} can't be imported ({error})", "numpy and opencv-python-headless")
    import numpy

    if int(numpy.__version__.split(".")[0]) < 2 or knows_numpy_2(stub):
        return
    fail(
        f"this Triton's Python backend breaks with numpy {numpy.__version__}",
        "numpy<2, and an OpenCV that takes it (opencv-python-headless<4.12)",
    )


def knows_numpy_2(stub: str) -> bool:
    """Tell whether Triton's Python backend was built for numpy 2, too.

    One that wasn't loads, and ends at the first request, at times with the whole server: nothing
    that can be tried here shows it. But what finds numpy 2 must hold the name of its core.
    """
    try:
        with open(stub, "rb") as file:
            return b"numpy._c" in file.read()
    except OSError:
        return True


def fail(found: str, needed: str) -> None:
    """Raise what Triton tells whoever loads the model."""
    raise pb_utils.TritonModelException(
        f"Sightline's step can't run: {found}. It needs {needed}. {CURE}"
    )
