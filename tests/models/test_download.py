"""Downloads against a real server that truncates, stalls, redirects and lies."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_backend.models.download import DownloadError, Patience, Wanted, download
from tests.models import file_server
from tests.models.file_server import Answer, Script, serving

CONTENT = bytes(range(256)) * 1200  # 300 kB
HALF = len(CONTENT) // 2
HASTY = Patience(stall_s=0.3, attempts=3, backoff_s=0.01)


def fetched(script: Script, target: Path, patience: Patience = HASTY) -> list[int]:
    """Download what a script serves; return the progress that was told."""
    told: list[int] = []
    digest = hashlib.sha256(CONTENT).hexdigest()
    with serving(script) as url:
        wanted = Wanted(url, len(CONTENT), digest)
        download(wanted, target, lambda there, _: told.append(there), patience)
    return told


def test_a_file_arrives_whole_with_its_progress(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.onnx"
    told = fetched(Script(CONTENT, [file_server.whole]), target)
    assert target.read_bytes() == CONTENT
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert [p.name for p in target.parent.iterdir()] == ["file.onnx"]


@pytest.mark.parametrize(
    ("answers", "ranges"),
    [
        pytest.param([file_server.whole], [None], id="at the first attempt"),
        pytest.param(
            [file_server.first(HALF), file_server.ranged],
            [None, f"bytes={HALF}-"],
            id="cut off, then resumed",
        ),
        pytest.param(
            [file_server.first(HALF), file_server.whole],
            [None, f"bytes={HALF}-"],
            id="cut off by a server that ignores Range",
        ),
        pytest.param(
            [file_server.first(HALF), file_server.other_part],
            [None, f"bytes={HALF}-", None],
            id="another part than asked for",
        ),
        pytest.param(
            [file_server.first(HALF), file_server.status(416), file_server.ranged],
            [None, f"bytes={HALF}-", None],
            id="the server says there is no more",
        ),
        pytest.param(
            [file_server.status(503), file_server.status(429), file_server.whole],
            [None, None, None],
            id="a busy server",
        ),
        pytest.param(
            [file_server.stall, file_server.ranged], [None, "bytes=10-"], id="a silent server"
        ),
    ],
)
def test_a_file_arrives_in_spite_of(
    tmp_path: Path, answers: list[Answer], ranges: list[str | None]
) -> None:
    script = Script(CONTENT, answers)
    fetched(script, tmp_path / "file.onnx")
    assert (tmp_path / "file.onnx").read_bytes() == CONTENT
    assert [asked.get("Range") for asked in script.asked] == ranges


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(file_server.first(0), "3 attempts", id="nothing ever comes"),
        pytest.param(file_server.stall, "fell silent", id="it always stalls"),
        pytest.param(file_server.status(404), "answered 404", id="it is gone"),
        pytest.param(file_server.status(500), "answered 500", id="it is broken"),
        pytest.param(file_server.claims(len(CONTENT) + 1), "instead of", id="too long"),
        pytest.param(file_server.claims(10), "instead of", id="too short"),
        pytest.param(file_server.endless, "sends more", id="endless"),
        pytest.param(file_server.redirect("/file.onnx"), "redirected more than", id="in circles"),
        pytest.param(file_server.redirect("file:///etc/passwd"), "not fetched", id="to a file"),
        pytest.param(file_server.redirect("ftp://127.0.0.1/x"), "not fetched", id="to FTP"),
        pytest.param(file_server.redirect("http://192.0.2.1/x"), "not fetched", id="to plain HTTP"),
        pytest.param(file_server.redirect("http://x:port/"), "Invalid URL", id="to nonsense"),
    ],
)
def test_nothing_is_kept_under_the_name_when(tmp_path: Path, answer: Answer, said: str) -> None:
    with pytest.raises(DownloadError, match=said):
        fetched(Script(CONTENT, [answer]), tmp_path / "file.onnx")
    assert not (tmp_path / "file.onnx").exists()


def test_a_file_with_another_hash_is_deleted_and_both_hashes_are_named(tmp_path: Path) -> None:
    swapped = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=hashlib.sha256(swapped).hexdigest()) as caught:
        fetched(Script(swapped, [file_server.whole]), tmp_path / "file.onnx")
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_came_is_not_said_to_be_kept(tmp_path: Path) -> None:
    one_try = replace(HASTY, attempts=1)
    with pytest.raises(DownloadError, match=r"try again\.$"):
        fetched(Script(CONTENT, [file_server.first(0)]), tmp_path / "file.onnx", one_try)


def test_the_next_call_goes_on_where_one_was_given_up(tmp_path: Path) -> None:
    one_try = replace(HASTY, attempts=1)
    tiny = Script(CONTENT, [file_server.first(60_000)])
    with pytest.raises(DownloadError, match="60,000 bytes that came are kept"):
        fetched(tiny, tmp_path / "file.onnx", one_try)
    script = Script(CONTENT, [file_server.ranged])
    fetched(script, tmp_path / "file.onnx")
    assert script.asked[0]["Range"] == "bytes=60000-"
    assert script.asked[0]["If-Range"] == '"one"'
    assert (tmp_path / "file.onnx").read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "file.onnx.part").write_bytes(CONTENT + b"more")
    script = Script(CONTENT, [file_server.ranged])
    fetched(script, tmp_path / "file.onnx")
    assert "Range" not in script.asked[0]


def test_a_redirect_to_the_same_machine_is_followed(tmp_path: Path) -> None:
    script = Script(CONTENT, [file_server.redirect("/there"), file_server.whole])
    fetched(script, tmp_path / "file.onnx")
    assert len(script.asked) == 2


@pytest.mark.parametrize("url", ["", "http://192.0.2.1/a.onnx", "file:///etc/passwd", "ftp://x/y"])
def test_addresses_that_are_not_https_are_refused_before_anything_is_asked(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(DownloadError, match="only https"):
        download(Wanted(url, 1, ""), tmp_path / "x", lambda *_: None, HASTY)
