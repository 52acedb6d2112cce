"""Versions of a model, what was made of them, and which of it serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_backend.errors import (
    InUseError,
    NameTakenError,
    NotAllowedError,
    NotPossibleError,
    UnknownError,
)
from sightline_backend.store.store import Store
from sightline_engines.assets import SHIPPED_NAME
from sightline_engines.errors import ModelFileError, SightlineError
from sightline_engines.passport import Passport
from sightline_engines.types import Format
from tests.models.stored import files, first, pair


def test_a_new_version_serves_once_it_is_promoted(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    version = store.models.add_version("mine", my_model, licence="MIT")
    assert (version.number, version.licence) == (2, "MIT")
    assert store.models.find("mine").version == "1"
    new = version.artefacts[0]
    store.promotions.add("mine", new.id, engine="openvino", reason="faster", accuracy_loss=0.004)
    assert (store.models.find("mine").version, store.models.find("mine").engine) == (
        "2",
        "openvino",
    )
    with pytest.raises(InUseError, match="serves as mine"):
        store.models.remove_artefact(new.id)
    with pytest.raises(InUseError, match="serves as mine"):
        store.models.remove_version("mine", 2)
    assert store.promotions.roll_back("mine") is None
    assert store.models.find("mine").version == "1"
    store.models.remove_version("mine", 2)
    assert [v.number for v in store.models.model("mine").versions] == [1]


def test_promotions_are_rolled_back_one_by_one(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    ids = [store.models.add_version("mine", my_model).artefacts[0].id for _ in range(2)]
    with pytest.raises(NotPossibleError, match="Nothing was promoted"):
        store.promotions.roll_back("mine")
    for one in ids:
        store.promotions.add("mine", one)
    standing = store.promotions.roll_back("mine")
    assert standing is not None
    assert standing.artefact_id == ids[0]
    assert store.promotions.standing("mine") == standing
    assert [p.rolled_back_at is None for p in store.promotions.history("mine")] == [False, True]
    with pytest.raises(UnknownError, match="has no artefact"):
        store.promotions.add(SHIPPED_NAME, ids[0])


def test_a_checkpoint_is_kept_but_never_runs(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    path.write_bytes(b"PK\x03\x04 a pickle")
    with pytest.raises(NotAllowedError, match="SIGHTLINE_ALLOW_PICKLE"):
        store.models.add_checkpoint(path, allow_pickle=False)
    kept = store.models.add_checkpoint(path, "mine", allow_pickle=True)
    assert (kept.format, kept.spec, kept.path.read_bytes()) == (
        Format.TORCH,
        None,
        path.read_bytes(),
    )
    assert store.models.model("mine").active is None
    assert [spec.name for spec in store.models.list()] == [SHIPPED_NAME]
    with pytest.raises(ModelFileError, match="that can run"):
        store.models.find("mine")


def test_what_a_conversion_made_lies_beside_its_source(
    store: Store, my_model: Path, tmp_path: Path
) -> None:
    spec = store.models.add(my_model, "mine")
    source = first(store, "mine")
    made = pair(tmp_path / "job", spec)
    parity = {"agreeing": 0.99}
    kept = store.models.add_artefact(
        source, made, made_from_id=source.id, origin="job 7", parity=parity
    )
    assert (kept.format, kept.precision, kept.made_from_id) == ("openvino", "int8", source.id)
    assert (kept.origin, kept.parity, kept.version) == ("job 7", parity, 1)
    assert kept.path.with_suffix(".bin").read_bytes() == b"weights"
    assert kept.size_bytes == len(b"<net/>weights")
    assert not made.path.exists()
    assert store.models.find("mine").format is Format.ONNX
    again = pair(tmp_path / "job again", spec)
    same = store.models.add_artefact(source, again, made_from_id=None, origin="job 8")
    assert same == replace(kept, origin="job 8")
    store.models.remove_artefact(kept.id)
    assert len(files(store.models)) == 2
    with pytest.raises(UnknownError):
        store.models.artefact(kept.id)


def test_a_file_that_comes_out_the_same_again_has_what_the_newest_conversion_says_of_it(
    store: Store, my_model: Path, tmp_path: Path
) -> None:
    spec = store.models.add(my_model, "mine")
    source = first(store, "mine")
    for driver in ("580", "590"):
        plan = tmp_path / "made.plan"
        plan.write_bytes(b"plan")
        passport = Passport("GPU", "9.0", "11.4", driver, "", "", 1, 4, 8, (64, 64))
        made = replace(spec, path=plan, precision="fp16", sha256="", passport=passport)
        kept = store.models.add_artefact(
            source, made, made_from_id=source.id, origin=f"job {driver}", parity={"on": driver}
        )
    assert kept.passport is not None
    assert (kept.passport.driver, kept.origin, kept.parity) == ("590", "job 590", {"on": "590"})
    assert kept.spec is not None
    assert kept.spec.passport == kept.passport
    assert len(store.models.model("mine").versions[0].artefacts) == 2
    (tmp_path / "again.onnx").write_bytes(source.path.read_bytes())
    exported = replace(spec, path=tmp_path / "again.onnx")
    same = store.models.add_artefact(source, exported, made_from_id=None, origin="job 600")
    assert (same.id, same.origin) == (source.id, "upload")


def test_measurements_stay_with_their_artefact(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    artefact = first(store, "mine")
    kept = store.measurements.add(artefact.id, "openvino", {"p50": 1.5})
    assert list(store.measurements.of(artefact.id)) == [kept]
    assert list(store.measurements.of_model("mine")) == [kept]
    with pytest.raises(UnknownError):
        store.measurements.add(artefact.id, "openvino", {}, job_id=99)
    store.models.remove("mine")
    assert list(store.measurements.of(artefact.id)) == []
    with pytest.raises(UnknownError):
        store.measurements.add(artefact.id, "openvino", {})


def test_data_sets_are_known_by_name(store: Store, tmp_path: Path) -> None:
    assert list(store.datasets.list()) == []
    kept = store.datasets.add("street", tmp_path, {"pictures": 3})
    assert store.datasets.find("street") == kept
    with pytest.raises(NameTakenError):
        store.datasets.add("street", tmp_path, {})
    assert store.datasets.remove("street") == kept
    with pytest.raises(UnknownError, match="there are none"):
        store.datasets.find("street")


def test_a_model_is_renamed_and_described(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    store.models.add(my_model, "other")
    store.models.describe("mine", "for the yard")
    store.models.rename("mine", "yours")
    assert store.models.model("yours").description == "for the yard"
    assert store.models.summaries()["yours"] == ("for the yard", 1)
    for name, error in (("Other", NameTakenError), ("a/b", ModelFileError)):
        with pytest.raises(error):
            store.models.rename("yours", name)
    with pytest.raises(SightlineError):
        store.models.describe("mine", "gone")
    store.models.rename("yours", "YOURS")
    assert store.models.find("YOURS").name == "YOURS"


def test_what_is_held_is_neither_removed_nor_renamed(store: Store, my_model: Path) -> None:
    spec = store.models.add(my_model, "mine")
    extra = store.models.add_version("mine", my_model).artefacts[0]
    with store.models.hold([spec, store.models.find(SHIPPED_NAME)]):
        refused: list[Callable[[], None]] = [
            lambda: store.models.remove("mine"),
            lambda: store.models.remove_version("mine", 2),
            lambda: store.models.remove_artefact(extra.id),
            lambda: store.models.rename("mine", "yours"),
        ]
        for change in refused:
            with pytest.raises(InUseError, match="in use"):
                change()
    assert store.models.find("mine") == spec
    store.models.remove("mine")
    with pytest.raises(ModelFileError, match="is gone"), store.models.hold([spec]):
        pass


def test_the_last_artefact_goes_with_its_model_alone(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    path.write_bytes(b"a pickle")
    kept = store.models.add_checkpoint(path, "mine", allow_pickle=True)
    with pytest.raises(NotPossibleError, match="remove the model itself"):
        store.models.remove_artefact(kept.id)
    shutil.rmtree(store.folder / "files")
    store.models.remove("mine")
