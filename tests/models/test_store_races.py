"""Two at the same files, and disks and processes that end in between."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from sightline_backend.store import about, changes, removal
from sightline_backend.store.files import Files
from sightline_backend.store.locks import unused
from sightline_backend.store.records import Artefact, Promotion
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import ModelRow, PromotionRow, now
from sightline_engines.assets import SHIPPED_NAME
from sightline_engines.passport import Passport
from sightline_engines.types import ModelSpec


def together(work: Callable[[int], object], count: int) -> list[BaseException]:
    """Run something in several threads at once; return what went wrong."""
    failed: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def converted(store: Store, beside: Artefact, spec: ModelSpec, folder: Path) -> Artefact:
    """Add what a job made of a model."""
    folder.mkdir()
    (folder / "model.xml").write_bytes(b"<net/>")
    (folder / "model.bin").write_bytes(b"weights")
    made = replace(spec, path=folder / "model.xml", precision="int8", sha256="")
    return store.models.add_artefact(beside, made, made_from_id=beside.id, origin="job 7")


def test_several_who_describe_a_model_are_all_served_and_the_last_one_is_written_beside_it(
    lite: Store, my_model: Path
) -> None:
    spec = lite.models.add(my_model, "mine")
    assert together(lambda n: lite.models.describe("mine", f"by {n}"), 8) == []
    (said,) = json.loads((spec.path.with_suffix(".about.json")).read_text())
    assert said["description"] == lite.models.model("mine").description


def test_a_disk_that_takes_no_word_keeps_the_model_all_the_same(
    lite: Store, my_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(about, "write_whole", full)
        spec = lite.models.add(my_model, "mine")
    assert lite.models.find("mine") == spec
    lite.models.scan()
    assert spec.path.with_suffix(".about.json").exists()


def test_what_was_made_while_a_model_is_removed_goes_with_it(
    lite: Store, my_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = lite.models.add(my_model, "mine")
    source = lite.models.model("mine").versions[0].artefacts[0]
    made: list[Artefact] = []

    @contextmanager
    def meanwhile(path: Path) -> Iterator[None]:
        if not made:
            made.append(converted(lite, source, spec, tmp_path / "made"))
        with unused(path):
            yield

    monkeypatch.setattr(removal, "unused", meanwhile)
    lite.models.remove("mine")
    assert made
    assert [path for path in lite.folder.glob("files/*/*") if path.is_file()] == []
    assert lite.models.scan().added == ()


def test_a_crash_amid_a_rename_makes_no_second_model(
    lite: Store, my_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite.models.add(my_model, "old")
    with monkeypatch.context() as patch:
        patch.setattr(changes, "write_about", lambda *_: None)
        lite.models.rename("old", "new")
    assert lite.models.scan().added == ()
    assert [spec.name for spec in lite.models.list()] == [SHIPPED_NAME, "new"]


def test_a_plan_that_no_row_names_is_not_taken_up(
    lite: Store, my_model: Path, tmp_path: Path
) -> None:
    spec = lite.models.add(my_model, "mine")
    source = lite.models.model("mine").versions[0].artefacts[0]
    path = tmp_path / "m.plan"
    path.write_bytes(b"an executable")
    passport = Passport("X", "9.0", "11", "580", spec.sha256, "0" * 64, 1, 8, 8, (416, 416))
    made = replace(spec, path=path, precision="fp16", passport=passport, sha256="")
    plan = lite.models.add_artefact(source, made, made_from_id=source.id, origin="job 8")
    word = plan.path.with_suffix(".about.json").read_text()
    lite.models.remove_artefact(plan.id)
    plan.path.parent.mkdir(exist_ok=True)
    plan.path.write_bytes(b"an executable")
    plan.path.with_suffix(".about.json").write_text(word)
    report = lite.models.scan()
    assert report.added == ()
    assert plan.path.name in report.orphaned
    assert not plan.path.exists()


def test_two_rollbacks_at_once_take_two_promotions_back(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    version = store.models.add_version("mine", my_model)
    ids = [store.promotions.add("mine", version.artefacts[0].id).id for _ in range(4)]
    left: list[int | None] = []

    def roll_back(_: int) -> None:
        standing = store.promotions.roll_back("mine")
        left.append(standing.id if standing is not None else None)

    assert together(roll_back, 3) == []
    assert sorted(left, key=str) == ids[:3]
    assert together(roll_back, 1) == []
    assert left[-1] is None
    assert store.promotions.standing("mine") is None


def test_a_rollback_that_had_to_wait_takes_back_what_is_the_newest_by_then(
    store: Store, my_model: Path
) -> None:
    store.models.add(my_model, "mine")
    version = store.models.add_version("mine", my_model)
    ids = [store.promotions.add("mine", version.artefacts[0].id).id for _ in range(3)]
    left: list[Promotion | None] = []
    waits = threading.Thread(target=lambda: left.append(store.promotions.roll_back("mine")))
    with store.database.session() as session:
        session.scalars(select(ModelRow).with_for_update()).all()
        newest = session.get_one(PromotionRow, ids[2])
        newest.rolled_back_at = now()
        session.add(PromotionRow(model_id=newest.model_id, artefact_id=newest.artefact_id))
        session.flush()
        waits.start()
        waits.join(0.3)
    waits.join(10)
    assert [one.id for one in left if one is not None] == ids[1:2]


def test_of_two_who_roll_back_the_same_promotion_one_hears_of_the_other(
    store: Store, my_model: Path
) -> None:
    store.models.add(my_model, "mine")
    version = store.models.add_version("mine", my_model)
    older, newer = (store.promotions.add("mine", version.artefacts[0].id).id for _ in range(2))
    failed = together(lambda _: store.promotions.roll_back("mine", newer), 2)
    assert [str(error)[:13] for error in failed] == ["Somebody else"]
    standing = store.promotions.standing("mine")
    assert standing is not None
    assert standing.id == older


def test_words_are_written_while_another_opens_the_database(tmp_path: Path, my_model: Path) -> None:
    store = open_store(tmp_path / "models")
    spec = store.models.add(my_model, "mine")
    files = Files(store.folder)

    def work(number: int) -> None:
        for _ in range(20):
            store.database.close()
            if number:
                about.write_about(store.database, files, [spec.sha256])
            else:
                store.models.describe("mine", "again")

    failed: list[BaseException] = []
    child = threading.Thread(target=lambda: failed.extend(together(work, 2)), daemon=True)
    child.start()
    child.join(30)
    assert not child.is_alive(), "they wait for each other"  # and closing it would wait, too
    store.close()
    assert failed == []


def test_a_reason_is_kept_as_every_database_can(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    one = store.models.add_version("mine", my_model).artefacts[0].id
    assert store.promotions.add("mine", one, reason="be\0cause \ud800").reason == "because ?"
