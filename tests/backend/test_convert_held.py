"""What a conversion reads can't be deleted until what it made is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sightline_backend.errors import InUseError
from sightline_backend.jobs.requests import ConvertRequest
from sightline_backend.jobs.work import convert
from sightline_backend.jobs.work.context import JobWork, WorkSettings
from sightline_backend.store.models import ModelStore
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store, open_store
from sightline_engines.errors import ModelFileError
from tests.backend.test_benchmark_job import Notes
from tests.engines.tiny import constant_model


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def work(store: Store, tmp_path: Path) -> JobWork:
    (tmp_path / "job").mkdir()
    return JobWork(1, store, tmp_path / "job", Notes(), WorkSettings(allow_pickle=True))


def tiny(path: Path, score: float) -> Path:
    """Write a model that sees one box; the score makes it another one."""
    import numpy as np

    raw = np.array([[16, 16, 48, 48, score, 0]], np.float32)
    return constant_model(path, raw, batch="batch", metadata={"names": "{0: 'person'}"})


def test_a_checkpoint_can_not_be_deleted_while_it_is_exported(
    work: JobWork, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "mine.pt"
    checkpoint.write_bytes(b"PK\x03\x04 nobody opens this")
    store.models.add_checkpoint(checkpoint, "mine", allow_pickle=True)

    def exporting(path: Path, *_: Any) -> None:
        with pytest.raises(InUseError, match="a job works on it"):
            store.models.remove("mine")
        assert path.exists()
        raise ModelFileError("Enough.")

    monkeypatch.setattr(convert, "export_checkpoint", exporting)
    with pytest.raises(ModelFileError, match="Enough"):
        convert.run(ConvertRequest(model="mine", format="onnx"), work)
    store.models.remove("mine")


def test_a_source_can_not_be_deleted_before_what_was_made_of_it_is_kept(
    work: JobWork, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = '{"family": "end2end", "labels": ["person"]}'
    for name, score in (("first", 0.9), ("second", 0.8)):
        path = tiny(tmp_path / f"{name}.onnx", score)
        path.with_suffix(".json").write_text(sidecar)
        if name == "first":
            store.models.add(path, "tiny")
        else:
            store.models.add_version("tiny", path)
    keeping = ModelStore.add_artefact

    def kept(models: ModelStore, *given: Any, **more: Any) -> Artefact:
        with pytest.raises(InUseError, match="a job works on it"):
            models.remove_version("tiny", 2)
        return keeping(models, *given, **more)

    monkeypatch.setattr(ModelStore, "add_artefact", kept)
    asked = ConvertRequest(model="tiny", version=2, format="onnx", precision="fp16")
    made = store.models.artefact(convert.run(asked, work)["artefact_id"])
    assert (made.version, made.precision) == (2, "fp16")
    store.models.remove_version("tiny", 2)
