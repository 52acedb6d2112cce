"""The store of models, on a real folder and real databases."""

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
    UnknownModelError,
)
from sightline_backend.models import recognised
from sightline_backend.store.models import ModelStore
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError, SightlineError
from sightline_engines.passport import Passport
from sightline_engines.recognise import recognise
from sightline_engines.sidecar import sidecar_path
from sightline_engines.types import Format, ModelSpec


def files(store: ModelStore) -> list[str]:
    """Return the names of all stored files, databases and locks apart."""
    return sorted(p.name for p in store.folder.glob("files/*/*"))


def pair(folder: Path, spec: ModelSpec, content: bytes = b"weights") -> ModelSpec:
    """Return a made-up OpenVINO pair, as a conversion leaves one in its own folder."""
    folder.mkdir(parents=True)
    (folder / "model.xml").write_bytes(b"<net/>")
    (folder / "model.bin").write_bytes(content)
    return replace(spec, path=folder / "model.xml", precision="int8", sha256="")


def first(store: Store, name: str) -> Artefact:
    """Return a model's first artefact."""
    return store.models.model(name).versions[0].artefacts[0]


def test_a_fresh_store_holds_the_shipped_model_and_makes_no_folder(lite: Store) -> None:
    assert [spec.name for spec in lite.models.list()] == [SHIPPED_NAME]
    assert lite.models.find(SHIPPED_NAME).version == "1"
    assert lite.models.broken() == []
    assert lite.models.summaries() == {}
    assert not lite.folder.exists()


def test_the_shipped_model_has_rows_so_that_it_can_be_measured(store: Store) -> None:
    (model,) = store.models.models()
    assert (model.name, model.shipped, len(model.versions)) == (SHIPPED_NAME, True, 1)
    assert model.active is not None
    assert model.active.path == shipped_model()
    assert store.models.find(SHIPPED_NAME) == model.active.spec
    assert store.models.list() == [model.active.spec]


def test_an_added_model_is_found_by_name_with_its_facts(store: Store, my_model: Path) -> None:
    models = store.models
    added = models.add(my_model, licence="MIT", source="https://example.org/my")
    my_model.unlink()
    found = models.find("my-model")
    assert found == added
    assert (found.name, found.version) == ("my-model", "1")
    assert (found.licence, found.source) == ("MIT", "https://example.org/my")
    assert [spec.name for spec in models.list()] == [SHIPPED_NAME, "my-model"]
    assert files(models) == [f"{found.sha256}.about.json", f"{found.sha256}.onnx"]
    assert first(store, "my-model").size_bytes == found.path.stat().st_size


def test_the_sidecar_beside_a_file_is_taken_over(lite: Store, my_model: Path) -> None:
    sidecar_path(my_model).write_text('{"labels": ["cat", "dog"], "postprocess": {"conf": 0.6}}')
    lite.models.add(my_model, "pets")
    assert lite.models.find("pets").labels == ("cat", "dog")
    assert lite.models.find("pets").postprocess.conf == 0.6


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.onnx", b""),
        ("text.onnx", b"this is no model"),
        ("weights.pt", b"PK\x03\x04"),
        ("model.xml", b"<net/>"),
        ("model.plan", b"plan"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_stored(
    lite: Store, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFileError):
        lite.models.add(tmp_path / name)
    assert not lite.folder.exists()


def test_a_missing_file_is_an_error_that_names_it(lite: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.onnx"):
        lite.models.add(tmp_path / "gone.onnx")


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden"])
def test_a_name_that_leaves_the_folder_is_refused(lite: Store, my_model: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="can't be a model's name"):
        lite.models.add(my_model, name)
    assert not lite.folder.exists()


@pytest.mark.parametrize("field", ["licence", "source", "description"])
def test_a_text_without_end_is_refused(lite: Store, my_model: Path, field: str) -> None:
    with pytest.raises(ModelFileError, match=f"The {field} has 5000 characters"):
        lite.models.add(my_model, **{field: "x" * 5000})


def test_texts_that_no_database_keeps_are_cleaned(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine", licence="M\0IT", description="half \ud800 a letter")
    assert store.models.find("mine").licence == "MIT"
    assert store.models.model("mine").description == "half ? a letter"


@pytest.mark.parametrize("name", ["mine", "MINE", SHIPPED_NAME])
def test_a_taken_name_is_refused_and_nothing_is_left_behind(
    lite: Store, my_model: Path, name: str
) -> None:
    store = lite
    store.models.add(my_model, "mine")
    before = files(store.models)
    with pytest.raises(NameTakenError, match="already"):
        store.models.add(my_model, name)
    assert files(store.models) == before
    assert list(store.folder.glob(".incoming-*")) == []


def test_any_onnx_file_is_found_by_its_path(lite: Store, my_model: Path) -> None:
    assert lite.models.find(str(my_model)).path == my_model
    assert not lite.folder.exists()


@pytest.mark.parametrize("name", ["", "nothing-such", "../../etc/passwd", "a" * 500, "\0", "ü"])
def test_an_unknown_name_is_an_error(lite: Store, my_model: Path, name: str) -> None:
    store = lite
    with pytest.raises(ModelFileError):
        store.models.find(name)
    store.models.add(my_model, "mine")
    with pytest.raises(ModelFileError):
        store.models.find(name)
    with pytest.raises(UnknownModelError):
        store.models.model(name)
    with pytest.raises(UnknownModelError):
        store.models.remove(name)


def test_an_unknown_name_is_answered_with_the_names_there_are(lite: Store) -> None:
    with pytest.raises(ModelFileError, match=f"there are {SHIPPED_NAME}"):
        lite.models.find("nothing-such")


def test_a_name_of_the_catalogue_is_answered_with_how_to_fetch_it(lite: Store) -> None:
    with pytest.raises(ModelFileError, match="sightline models pull yolox-nano"):
        lite.models.find("yolox-nano")


def test_a_removed_model_is_gone_and_can_be_added_again(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    store.models.remove("mine")
    assert files(store.models) == []
    store.models.add(my_model, "mine")


def test_the_shipped_model_stays(store: Store) -> None:
    with pytest.raises(NotPossibleError, match="ships with Sightline"):
        store.models.remove(SHIPPED_NAME)
    with pytest.raises(InUseError):
        store.models.remove_artefact(first(store, SHIPPED_NAME).id)
    with pytest.raises(NotPossibleError):
        store.models.rename(SHIPPED_NAME, "other")
    assert shipped_model().is_file()


def test_a_file_that_two_models_share_stays_for_the_other(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "one")
    spec = store.models.add(my_model, "two")
    store.models.remove("one")
    assert store.models.find("two") == spec
    store.models.remove("two")
    assert files(store.models) == []


def test_a_damaged_or_lost_file_is_left_out_and_named(store: Store, my_model: Path) -> None:
    spec = store.models.add(my_model, "mine")
    spec.path.write_bytes(b"damaged")
    assert [one.name for one in store.models.list()] == [SHIPPED_NAME]
    assert [broken.name for broken in store.models.broken()] == ["mine"]
    spec.path.unlink()
    assert "file is gone" in store.models.broken()[0].problem
    store.models.add(my_model, "again")  # the same content mends the first one, too
    assert [one.name for one in store.models.list()] == [SHIPPED_NAME, "again", "mine"]


def test_a_swapped_file_does_not_pass_for_the_added_one(lite: Store, my_model: Path) -> None:
    spec = lite.models.add(my_model, "mine")
    with spec.path.open("ab") as file:
        file.write(b"\x72\x00")  # still an ONNX file, of other bytes
    with pytest.raises(ModelFileError, match="SHA-256"):
        lite.models.find("mine")


def test_a_file_is_read_once(lite: Store, my_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(path: Path) -> ModelSpec:
        read.append(path.name)
        return recognise(path)

    monkeypatch.setattr(recognised, "recognise", noted)
    lite.models.add(my_model, "mine")
    listed = lite.models.list()
    assert sorted(read) == sorted([shipped_model().name, my_model.name])
    assert (lite.models.list(), lite.models.find("mine")) == (listed, listed[1])
    assert len(read) == 2


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
