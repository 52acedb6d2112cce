"""A model that answers what it is given, at a real tritonserver, to be measured and swept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sightline_engines.triton.bench.setting import Setting, setting_of
from sightline_engines.triton.client import Client
from tests.triton.at_triton import AtTriton, at_triton
from tests.triton.environment import TritonEnvironment

PRESENT = Setting(1)
NAME = "echo"
MODEL = """
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        given = [pb.get_input_tensor_by_name(one, "IN").as_numpy() for one in requests]
        return [pb.InferenceResponse([pb.Tensor("OUT", one)]) for one in given]
"""
CONFIG = """# written by hand
name: "echo"
backend: "python"
max_batch_size: 8
input [{name: "IN" data_type: TYPE_FP32 dims: [4]}]
output [{name: "OUT" data_type: TYPE_FP32 dims: [4]}]
instance_group [{kind: KIND_CPU count: 1}]
dynamic_batching {}
"""


@contextmanager
def echoing(environment: TritonEnvironment, folder: Path) -> Iterator[AtTriton]:
    """Run a server that has the model loaded."""
    with at_triton(environment, folder) as running:
        version = running.folder / NAME / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(MODEL)
        (version.parent / "config.pbtxt").write_text(CONFIG)
        running.client.load(NAME)
        yield running


@contextmanager
def left_alone(triton: AtTriton) -> Iterator[None]:
    """See that a test leaves the file and what Triton runs as they were."""
    yield
    assert on_disk(triton, NAME) == CONFIG
    assert in_force(triton, NAME) == PRESENT


def on_disk(triton: AtTriton, name: str) -> str:
    return (triton.folder / name / "config.pbtxt").read_text()


def in_force(triton: AtTriton, name: str) -> Setting:
    return served(triton.client, name)


def served(client: Client, name: str) -> Setting:
    """Return the setting that Triton goes by; it names its own largest batch where none is."""
    found = setting_of(client.config(name))
    return (
        replace(found, preferred_batch_sizes=()) if found.preferred_batch_sizes == (8,) else found
    )
