"""Zip files that anybody may have made: taken whole, or refused with nothing left behind."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.archive import ArchiveError, ArchiveLimits, safe_path, unpack

LIMITS = ArchiveLimits(members=50, total_bytes=4 * 2**20, member_bytes=2 * 2**20, depth=4)


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip with members just as they are named."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            info.compress_type = method
            archive.writestr(info, data)
    return path


def refused(tmp_path: Path, archive: Path, says: str, limits: ArchiveLimits = LIMITS) -> None:
    with pytest.raises(ArchiveError, match=says):
        unpack(archive, tmp_path / "out", limits)
    assert sorted(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"a.txt": b"hello"},
        {"images/": b"", "images/a.jpg": b"\xff\xd8" * 1000, "labels/a.txt": b""},
        {"ä/ö.txt": b"1", "deep/er/still/a": b"2"},
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_plain_archive_is_unpacked(
    tmp_path: Path, members: dict[str, bytes], method: int
) -> None:
    archive = packed(tmp_path / "a.zip", members, method)
    unpack(archive, tmp_path / "out", LIMITS)
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == {name: data for name, data in members.items() if not name.endswith("/")}
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "out"}


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "../up", "a/../../up", "a/./b", "a//b", "..", ".", "C:/windows", "C:up"),
        *("a\\..\\b", "\\\\host\\share", "nul\x00.txt", "line\n", "NUL", "a/con.txt", "dot."),
        *("space ", " space", "a/b/c/d/e", "x" * 300, "turned\u202etxt", "/"),
    ],
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path, packed(tmp_path / "a.zip", {"fine": b"1", name: b"2"}), "archive has")


@given(st.text(max_size=60) | st.from_regex(r"[./\\a:C\x00 ]{1,12}", fullmatch=True))
def test_whatever_the_name_its_file_lies_below_the_folder(name: str) -> None:
    folder = Path("/some/where")
    try:
        path = safe_path(name, LIMITS)
    except ArchiveError:
        return
    parts = (folder / path).parts
    assert parts[:3] == ("/", "some", "where")
    assert len(parts) > 3
    assert not {"..", ".", ""} & set(parts[3:])


@given(st.lists(st.text("abc.-_ é", min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_plain_name_is_kept_as_it_is(parts: list[str]) -> None:
    plain = [f"f{part}f" for part in parts]
    assert str(safe_path("/".join(plain), LIMITS)) == "/".join(plain)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "a"),
        ("a", "A"),
        ("a/b", "A"),
        ("a", "a/b"),
        ("ß", "SS"),
        ("é", "e\u0301"),
        ("ﬁ", "fi"),
    ],
)
def test_two_members_that_may_be_one_file_are_refused(
    tmp_path: Path, first: str, second: str
) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of a duplicate name
        file.writestr(first, b"1")
        file.writestr(second, b"2")
    refused(tmp_path, archive, "twice|below a file")


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("member")
    info.external_attr = (kind | 0o644) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    refused(tmp_path, tmp_path / "a.zip", "link or a device|folder")


def test_limits_are_counted(tmp_path: Path) -> None:
    noise = bytes(range(256)) * 4096
    cases = {
        "more than 50 members": {f"f{i}": b"" for i in range(51)},
        "too many": {"large": noise * 3},
        "bytes unpacked": {f"f{i}": noise for i in range(5)},
        "times its size": {"bomb": bytes(2**21)},
    }
    for says, members in cases.items():
        archive = packed(tmp_path / "a.zip", members)
        refused(tmp_path, archive, says)


def test_a_bomb_within_a_bomb_is_only_a_file(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(50 * 2**20))
    archive = packed(tmp_path / "a.zip", {"inner.zip": inner.getvalue()}, zipfile.ZIP_STORED)
    unpack(archive, tmp_path / "out", LIMITS)
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["inner.zip"]


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"x" * 100, "two": b"y" * 100})
    data = bytearray(archive.read_bytes())
    second = data.rfind(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<L", 0)  # where the first one lies
    archive.write_bytes(data)
    refused(tmp_path, archive, "lie in each other")


@pytest.mark.parametrize("says_bytes", [10, 10_000])
def test_a_size_that_lies_is_refused_with_flat_memory(tmp_path: Path, says_bytes: int) -> None:
    archive = packed(tmp_path / "a.zip", {"zeros": bytes(1000)})
    data = bytearray(archive.read_bytes())
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(stream.compress(bytes(2**20)) for _ in range(200)) + stream.flush()
    listing = data.find(b"PK\x01\x02")
    header = 30 + len("zeros")
    end = data.find(b"PK\x05\x06")
    for place in (18, listing + 20):
        struct.pack_into("<LL", data, place, len(bomb), says_bytes)
    struct.pack_into("<L", data, end + 16, header + len(bomb))
    archive.write_bytes(bytes(data[:header]) + bomb + bytes(data[listing:]))
    tracemalloc.start()
    try:
        refused(tmp_path, archive, "damaged|holds")
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_a_listing_that_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"1"})
    data = bytearray(archive.read_bytes())
    struct.pack_into("<L", data, data.rfind(b"PK\x05\x06") + 12, 2**31)
    archive.write_bytes(data)
    refused(tmp_path, archive, "more than 50 members")


@pytest.mark.parametrize("cut", [0, 10, 60, -1])
def test_half_an_archive_is_refused(tmp_path: Path, cut: int) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"x" * 100})
    archive.write_bytes(archive.read_bytes()[:cut])
    refused(tmp_path, archive, "zip file|damaged")


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"x" * 100, "two": b"y" * 100}, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"y" * 100, b"z" * 100))
    refused(tmp_path, archive, "damaged")


@given(st.binary(max_size=200), st.integers(0, 150))
def test_noise_in_an_archive_is_refused_or_unpacked(noise: bytes, place: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        archive = packed(Path(name, "a.zip"), {"one": b"x" * 100, "two": b"y"})
        data = bytearray(archive.read_bytes())
        data[place : place + len(noise)] = noise
        archive.write_bytes(data)
        try:
            unpack(archive, Path(name, "out"), LIMITS)
        except ArchiveError:
            assert not Path(name, "out").exists()


def test_bytes_that_only_other_methods_unpack_are_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"x" * 100}, zipfile.ZIP_LZMA)
    refused(tmp_path, archive, "another method")


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    archive = packed(tmp_path / "a.zip", {"one": b"1"})
    with pytest.raises(ArchiveError, match="there already"):
        unpack(archive, tmp_path / "out", LIMITS)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("says", [51, 1])
def test_members_are_counted_before_a_listing_is_parsed(
    tmp_path: Path, says: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / "a.zip", {f"f{i}": b"" for i in range(51)})
    data = bytearray(archive.read_bytes())
    struct.pack_into("<2H", data, len(data) - 14, says, says)  # in the record at the end
    archive.write_bytes(data)

    def refuse(*_: object) -> None:
        raise AssertionError("the listing was parsed")

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    refused(tmp_path, archive, "more than 50 members")


def test_of_two_sizes_of_a_listing_the_longer_number_alone_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / "a.zip", {f"f{i}": b"" for i in range(51)})
    data = archive.read_bytes()
    listing, end = data[:-22], bytearray(data[-22:])
    size, start = struct.unpack_from("<2L", end, 12)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 51, 51, size, start)
    place = struct.pack("<4sLQL", b"PK\6\7", 0, len(listing), 1)
    struct.pack_into("<L", end, 12, size + 10)  # a lie, which Python's zipfile doesn't look at
    archive.write_bytes(listing + record + place + end)
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.infolist()) == 51

    def refuse(*_: object) -> None:
        raise AssertionError("the listing was parsed")

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    refused(tmp_path, archive, "more than 50 members")
