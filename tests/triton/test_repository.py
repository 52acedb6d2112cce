"""The model repository on disk: folders are there whole or not at all, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_engines.errors import DeployError, SightlineError
from sightline_engines.triton.classifier import ClassifierSpec
from sightline_engines.triton.config import TritonConfig, read_config
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.read_config import parameters_of
from sightline_engines.triton.repository import Contents, Repository, RepositoryError
from tests.conftest import ROOT


def test_a_folder_is_there_whole_and_for_everybody_to_read(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "artefact").write_bytes(b"weights")
    (tmp_path / "artefact").chmod(0o600)
    files: Contents = {
        "config.pbtxt": "a",
        "1/model.onnx": tmp_path / "artefact",
        "1/deep/x": b"\0",
    }
    with repository.locked():
        folder = repository.place("m", files)
    assert (folder / "1" / "model.onnx").read_bytes() == b"weights"
    for path in (repository.folder, folder, *folder.rglob("*")):
        wanted = 0o755 if path.is_dir() else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted
    assert repository.names() == ("m",)
    assert repository.read("m", "config.pbtxt") == "a"
    assert repository.read("m", "no such file") is None
    with pytest.raises(RepositoryError, match="has a model 'm' already"):
        repository.place("m", {})


def test_what_can_not_be_written_leaves_nothing(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="can't be written"):
        repository.place("m", {"config.pbtxt": "a", "1/model.onnx": tmp_path / "missing"})
    assert repository.names() == ()
    assert not list(repository.folder.glob(".incoming-*"))


def test_a_repository_that_can_not_be_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RepositoryError, match="can't be written"),
        Repository(tmp_path / "file" / "in").locked(),
    ):
        pass


def test_leftovers_are_swept_and_other_folders_are_not(repository: Repository) -> None:
    (repository.folder / ".incoming-1").mkdir(parents=True)
    (repository.folder / ".incoming-2").touch()
    (repository.folder / "theirs").mkdir()
    with repository.locked():
        pass
    assert [path.name for path in repository.folder.iterdir() if path.is_dir()] == ["theirs"]
    assert not (repository.folder / ".incoming-2").exists()


@pytest.mark.parametrize("name", ["shades__9__classifier", "other__1__preprocess", "else"])
@pytest.mark.parametrize("to", ["outside", "nowhere", "itself"])
def test_a_link_that_leads_out_is_no_model_and_stops_nothing(
    deployments: Deployments, shades: ClassifierSpec, tmp_path: Path, name: str, to: str
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    deployments.prepare(replace(shades, name="other"), TritonConfig())
    (tmp_path / "outside").mkdir()
    link = deployments.repository.folder / name
    shutil.rmtree(link, ignore_errors=True)
    link.symlink_to(link if to == "itself" else tmp_path / to)
    assert deployments.all("shades") == (made,)
    assert made in deployments.all()
    assert deployments.all("other") == () or name != "other__1__preprocess"
    assert deployments.prepare(shades, TritonConfig()).number == 2
    assert (tmp_path / "outside").is_dir()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs another user")
def test_a_repository_that_may_only_be_read_is_told_of(
    deployments: Deployments, shades: ClassifierSpec, tmp_path: Path
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    deployments.point(made)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest-", "popen-")) or folder == tmp_path:
            folder.chmod(0o755)  # as far as there are folders of this run
    changes: tuple[Callable[[], object], ...] = (
        lambda: deployments.repository.next_number("shades"),
        lambda: deployments.repository.remove("shades"),
        lambda: deployments.repository.place("m", {"config.pbtxt": ""}),
        lambda: deployments.repository.put("shades", "config.pbtxt", ""),
        lambda: deployments.prepare(shades, TritonConfig()),
        lambda: deployments.forget("shades"),
    )
    os.seteuid(65534)
    try:
        for change in changes:
            with pytest.raises(SightlineError, match="can't be"):
                change()
        assert deployments.active("shades") == made
    finally:
        os.seteuid(0)


def test_a_full_disk_is_told_of_and_room_can_be_made(
    deployments: Deployments, shades: ClassifierSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments.point(deployments.prepare(shades, TritonConfig()))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("sightline_engines.triton.repository.write", full)
        disk.setattr("os.mkdir", full)
        with pytest.raises(RepositoryError, match=r"No space left.*the disk"):
            deployments.prepare(shades, TritonConfig())
        with pytest.raises(RepositoryError, match=r"No space left"):
            deployments.repository.next_number("shades")
        with pytest.raises(RepositoryError, match=r"No space left"):
            deployments.repository.place("m", {"config.pbtxt": ""})
        deployments.forget("shades")
    assert deployments.repository.names() == ()
    assert not list(deployments.repository.folder.glob(".incoming-*"))


def test_who_holds_the_repository_too_long_is_not_waited_for(repository: Repository) -> None:
    with (
        repository.locked(),
        pytest.raises(DeployError, match="Wait until it is done"),
        Repository(repository.folder).locked(timeout_s=0.1),
    ):
        pass


def test_a_copy_on_its_way_is_not_swept_nor_holds_anybody_up(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "plan").write_bytes(b"large")
    with repository.staged(tmp_path / "plan") as copy:
        with Repository(repository.folder).locked():
            assert copy.read_bytes() == b"large"
        with repository.locked():
            folder = repository.place("m", {"1/model.plan": copy})
    assert (folder / "1" / "model.plan").read_bytes() == b"large"
    assert stat.S_IMODE((folder / "1" / "model.plan").stat().st_mode) == 0o644
    assert not list(repository.folder.glob(".incoming-*"))


def test_a_leftover_that_can_not_be_swept_is_told_of(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (repository.folder / ".incoming-1").mkdir(parents=True)

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", denied)
    with repository.locked():
        pass
    assert ".incoming-1 is left" in caplog.text
    assert "Permission denied. Remove it by hand." in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="rights are another matter there")
def test_a_strict_umask_leaves_nothing_that_triton_can_not_read(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    before = os.umask(0o077)
    try:
        for _ in range(2):
            made = deployments.prepare(shades, TritonConfig())
            # As an update of ours that was killed before it could open the folder.
            if deployments.active("shades"):
                (deployments.repository.folder / "shades" / str(made.number)).mkdir()
            deployments.point(made)
    finally:
        os.umask(before)
    for path in (deployments.repository.folder, *deployments.repository.folder.rglob("*")):
        if not path.name.startswith(".sightline"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_numbers_are_never_given_twice(repository: Repository) -> None:
    with repository.locked():
        assert [repository.next_number("a") for _ in range(3)] == [1, 2, 3]
        assert repository.next_number("b", above=41) == 42
        (repository.folder / ".sightline.json").write_text("damaged")
        assert repository.next_number("a", above=7) == 8


def run(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.triton.killed", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Triton's repositories are changed on Unix")
def test_a_kill_at_any_point_leaves_what_served_in_place(
    tmp_path: Path, shades: ClassifierSpec
) -> None:
    out, errors = run(tmp_path / "r", shades.path, "kill").communicate(timeout=120)
    assert errors == ""
    seen = json.loads(out)
    assert seen["problems"] == []
    assert set(seen["kills"]) == {"deploy", "point", "back", "discard", "forget"}
    assert min(seen["kills"].values()) > 8
    assert seen["left"] == []
    assert len(seen["kept"]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Triton's repositories are changed on Unix")
def test_two_processes_at_once_do_not_get_in_each_others_way(
    tmp_path: Path, shades: ClassifierSpec
) -> None:
    both = [run(tmp_path / "r", shades.path, "4") for _ in range(2)]
    told = [one.communicate(timeout=120) for one in both]
    assert [errors for _, errors in told] == ["", ""]
    numbers = [number for out, _ in told for number in json.loads(out)]
    assert sorted(numbers) == list(range(1, 9))
    deployments = Deployments(Repository(tmp_path / "r"))
    assert [one.number for one in deployments.all("shades")] == list(range(8, 0, -1))
    active = deployments.active("shades")
    assert active is not None
    tensors = parameters_of(
        read_config(deployments.repository.read("shades_tensors", "config.pbtxt") or "")
    )
    assert tensors["sightline_number"] == str(active.number)
