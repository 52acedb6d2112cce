"""Grafana's password: made once, never a default, whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline_monitoring.password import main, make_password


def test_two_installations_have_two_passwords(tmp_path: Path) -> None:
    one, two = (make_password(tmp_path / name / "password") for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert one != two
    assert len(one) >= 24
    assert (tmp_path / "one" / "password").read_text() == one


def test_the_password_is_printed_once_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "password"
    assert main([str(file)]) == 0
    password = file.read_text()
    assert password in capsys.readouterr().out
    assert main([str(file)]) == 0
    assert password not in capsys.readouterr().out
    assert file.read_text() == password
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


def test_an_empty_file_of_a_crash_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch()
    assert make_password(file) == file.read_text() != ""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [([], 2, "Name the file"), (["/proc/nowhere/password"], 1, "Is its volume mounted?")],
    ids=["nothing", "a folder that can't be made"],
)
def test_what_is_wrong_is_said(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert said in capsys.readouterr().err
