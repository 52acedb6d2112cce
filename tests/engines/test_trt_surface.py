"""The names of TensorRT and cuda-python that we use are in every version that we say we take."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from sightline_engines.convert.plan import can_build
from sightline_engines.trt_memory import cuda_runtime
from tests.engines.trt_surface import LISTED, missing_names, used_names


def test_the_source_uses_no_name_that_was_not_checked_with_both_versions() -> None:
    listed: dict[str, Any] = json.loads(LISTED.read_text(encoding="utf-8"))
    assert used_names() == {"tensorrt": listed["tensorrt"], "cuda": listed["cuda"]}
    versions = [line.split()[1].split(".")[0] for line in listed["checked_with"]]
    assert {"10", "11"} <= set(versions)


def test_a_name_that_a_binding_lacks_is_found() -> None:
    listed = {"tensorrt": ["a.b", "gone.b"], "cuda": ["c", "a"]}
    fake = SimpleNamespace(a=SimpleNamespace(b=1))
    assert missing_names(fake, fake, listed) == ["tensorrt: gone.b", "cuda: c"]


@pytest.mark.gpu
def test_the_installed_bindings_have_every_name() -> None:
    if can_build():
        pytest.skip(str(can_build()))
    import tensorrt

    listed = json.loads(LISTED.read_text(encoding="utf-8"))
    assert missing_names(tensorrt, cuda_runtime(), listed) == []
