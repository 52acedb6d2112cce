"""Pictures in: every accepted format and way up, and nothing larger than the limits."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from sightline_engines.errors import (
    PictureCorruptError,
    PictureError,
    PictureFormatError,
    PictureTooLargeError,
)
from sightline_engines.exif import orientation
from sightline_engines.picture import (
    PictureLimits,
    decode_picture,
    encode_as,
    encode_jpeg,
    read_header,
)
from sightline_engines.types import Image
from tests.engines.encoded import encoded, exif, many_scans, png_chunk, png_claiming, scene

LIMITS = PictureLimits()
FORMATS = ("JPEG", "PNG", "WebP", "BMP")
STORED: dict[int, Callable[[Image], Image]] = {  # what a camera held so stores of a scene
    1: lambda scene: scene,
    2: np.fliplr,
    3: lambda scene: np.rot90(scene, 2),
    4: np.flipud,
    5: lambda scene: scene.transpose(1, 0, 2),
    6: lambda scene: np.rot90(scene, 1),
    7: lambda scene: np.rot90(scene, 2).transpose(1, 0, 2),
    8: lambda scene: np.rot90(scene, 3),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(48, 32), (33, 47), (1, 1), (1, 300)])
def test_each_format_is_read_whole_from_bytes_or_a_view(kind: str, size: tuple[int, int]) -> None:
    image = scene(*size)
    data = encoded(image, kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    header = read_header(data, LIMITS)
    assert (header.format, header.width, header.height) == (kind, *size)
    for form in (data, memoryview(data)):
        found = decode_picture(form, LIMITS)
        assert found.shape == image.shape
        assert found.dtype == np.uint8
        if min(size) > 1 and kind != "WebP":
            assert np.abs(found[2:-2, 2:-2].astype(int) - image[2:-2, 2:-2]).max() <= 60
    lossless = {"PNG": {}, "BMP": {}, "WebP": {"lossless": True}}
    if kind in lossless:
        found = decode_picture(encoded(image, kind, **lossless[kind]), LIMITS)
        np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_all_orientations_come_out_upright(kind: str, turned: int) -> None:
    data = encoded(STORED[turned](scene()), kind, exif=exif(turned), lossless=True, quality=95)
    found = decode_picture(data, LIMITS)
    assert found.shape == scene().shape
    for corner in np.s_[4, 4], np.s_[4, -5], np.s_[-5, 4], np.s_[-5, -5]:
        np.testing.assert_allclose(found[corner], scene()[corner], atol=20)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_is_read_in_both_byte_orders(order: str) -> None:
    assert orientation(exif(6, order)[6:]) == 6


@pytest.mark.parametrize(
    "block",
    [b"", b"II", b"II*\0", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff", exif(9)[6:], exif(0)[6:]],
)
def test_a_damaged_exif_block_is_upright(block: bytes) -> None:
    assert orientation(block) == 1


@given(st.binary(max_size=80))
def test_any_exif_bytes_give_an_orientation(block: bytes) -> None:
    assert 1 <= orientation(b"II*\0" + block) <= 8


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "I;16", "CMYK"])
def test_every_colour_kind_becomes_three_channels_of_eight_bits(mode: str) -> None:
    out = io.BytesIO()
    rgb = Pil.new("RGB", (40, 20), (200, 200, 200))
    if mode == "I;16":
        Pil.fromarray(np.full((20, 40), 200 * 257, np.uint16)).save(out, "PNG")
    else:
        rgb.convert(mode).save(out, "JPEG" if mode == "CMYK" else "PNG")
    found = decode_picture(out.getvalue(), LIMITS)
    assert found.shape == (20, 40, 3)
    expected = 255 if mode == "1" and found.max() == 255 else 200
    assert abs(float(np.median(found)) - expected) <= 4


@pytest.mark.parametrize(
    "data", [png_claiming(8000, 8000), png_claiming(2**31 - 1, 2**31 - 1), png_claiming(1, 2**30)]
)
def test_a_bomb_is_refused_by_its_header(data: bytes) -> None:
    with pytest.raises(PictureTooLargeError, match="at most 50 megapixels"):
        decode_picture(data, LIMITS)


def test_more_bytes_than_the_limit_are_refused_with_both_numbers() -> None:
    with pytest.raises(PictureTooLargeError, match=r"has 0\.2 MiB; at most 0\.1 are taken"):
        read_header(bytes(200_000), PictureLimits(max_bytes=100_000))


def test_a_picture_of_exactly_the_limit_is_taken() -> None:
    data = encoded(scene(50, 20), "PNG")
    limits = PictureLimits(max_bytes=len(data), max_pixels=1000)
    assert decode_picture(data, limits).shape == (20, 50, 3)
    with pytest.raises(PictureTooLargeError):
        decode_picture(data, PictureLimits(max_pixels=999))


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", PictureError, "empty"),
        (b"GIF89a" + bytes(20), PictureFormatError, "a GIF; accepted are JPEG, PNG, WebP, BMP"),
        (b"<svg xmlns", PictureFormatError, "an SVG"),
        (b"hello, this is text", PictureFormatError, "no picture"),
        (b"\xff\xd8\xff", PictureCorruptError, "ends within its header"),
        (b"\xff\xd8\xff\xe0\x00\x04ab\x00\x00", PictureCorruptError, "marker is missing"),
        (b"\xff\xd8\xff\xda\x00\x04ab", PictureCorruptError, "no frame header"),
        (b"\x89PNG\r\n\x1a\n", PictureCorruptError, "ends within its header"),
        (png_claiming(0, 5), PictureCorruptError, "0x5 pixels"),
        (b"RIFF\x04\0\0\0WEBPXXXX" + bytes(20), PictureCorruptError, "doesn't begin"),
        (b"RIFF\xff\xff\0\0WEBPVP8 " + bytes(20), PictureCorruptError, "cut off"),
        (b"BM" + bytes(40), PictureCorruptError, "0x0 pixels"),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 8, 8), PictureCorruptError, "damaged"),
    ],
)
def test_what_is_refused_is_told_why(data: bytes, error: type[PictureError], says: str) -> None:
    with pytest.raises(error, match=says):
        decode_picture(data, LIMITS)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_that_is_cut_off_is_refused_and_never_half_shown(kind: str, share: float) -> None:
    rng = np.random.default_rng(3)
    data = encoded(rng.integers(0, 256, (64, 64, 3), np.uint8), kind)
    with pytest.raises(PictureCorruptError, match="damaged" if kind == "BMP" else "cut off"):
        decode_picture(data[: int(len(data) * share)], LIMITS)


@settings(deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 10**6), st.binary(min_size=1, max_size=6))
def test_damage_anywhere_gives_a_picture_or_a_picture_error(
    kind: str, at: int, patch: bytes
) -> None:
    data = bytearray(encoded(scene(16, 16), kind))
    at %= len(data)
    data[at : at + len(patch)] = patch
    limits = PictureLimits(max_pixels=10_000)
    try:
        assert decode_picture(bytes(data), limits).ndim == 3
    except PictureError:
        return


@pytest.mark.parametrize("appended", [b"", b"\xff\xda\0\0" * 5000], ids=["plain", "appended"])
@pytest.mark.parametrize("count", [1, 50])
def test_a_jpeg_of_many_scans_is_read(count: int, appended: bytes) -> None:
    assert decode_picture(many_scans(count) + appended, LIMITS).shape == scene().shape


def test_scans_are_not_counted_in_tables_and_restarts() -> None:
    plain = encoded(scene(200, 200), "JPEG", restart_marker_blocks=1)
    assert plain.count(b"\xff\xd0") > 3
    scan = plain.find(b"\xff\xda")
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 4000) + b"\xff\xda" * 2000
    assert decode_picture(plain[:scan] + comment + plain[scan:], LIMITS).shape == (200, 200, 3)


@pytest.mark.parametrize("hidden", [b"", b"\xff\x02\xff\xff", b"\xff\xd3", b"\xff" * 9, b"junk"])
def test_a_jpeg_of_thousands_of_scans_is_refused(hidden: bytes) -> None:
    data = many_scans(3000)
    scan = data.find(b"\xff\xda")
    with pytest.raises(PictureCorruptError, match="more than 100 scans"):
        read_header(data[:scan] + hidden + data[scan:], LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 10**6,
        b"\xff\xd8" + b"\xff\xd0" * 10**6,
        b"\xff\xd8" + b"\xff\xe0\0\x02" * 10**6,
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
        + png_chunk(b"IDAT", b"") * 99_000
        + png_chunk(b"IEND", b""),
        b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10) + b"AAAA\0\0\0\0" * 10**6,
    ],
    ids=["filling", "restarts", "empty segments", "PNG chunks", "WebP chunks"],
)
def test_a_header_without_end_is_given_up(data: bytes) -> None:
    with pytest.raises(PictureCorruptError, match=r"nothing but filling|more than 10000 parts"):
        read_header(data, LIMITS)


def test_filling_before_a_marker_is_passed_over() -> None:
    data = encoded(scene(), "JPEG")
    assert read_header(data[:2] + b"\xff" * 1000 + data[2:], LIMITS).width == 48


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".png", "PNG"), (".webp", "WebP")]
)
def test_a_picture_is_written_as_its_suffix_says(suffix: str, kind: str) -> None:
    assert read_header(encode_as(scene(), suffix), LIMITS).format == kind


@pytest.mark.parametrize("suffix", ["", ".gif", ".mp4"])
def test_a_suffix_of_no_picture_is_refused(suffix: str) -> None:
    with pytest.raises(PictureFormatError, match=r"\.jpg, \.png, \.webp or \.bmp"):
        encode_as(scene(), suffix)


def test_what_a_format_can_not_hold_is_a_picture_error() -> None:
    with pytest.raises(PictureError, match="20000x1 pixels"):
        encode_as(np.zeros((1, 20_000, 3), np.uint8), ".webp")


def test_a_jpeg_written_is_read_back() -> None:
    data = encode_jpeg(scene(), 95)
    assert read_header(data, LIMITS).format == "JPEG"
    found = decode_picture(data, LIMITS)
    np.testing.assert_allclose(found[4, 4], scene()[4, 4], atol=12)
    assert len(encode_jpeg(scene(), 30)) < len(data)


# --- real files -----------------------------------------------------------------------------


def files(shared_data: Path) -> list[Path]:
    return sorted(p for p in (shared_data / "images").rglob("*") if p.is_file())


def test_every_hostile_file_is_a_picture_or_a_picture_error(shared_data: Path) -> None:
    decoded, refused = set(), set()
    for path in files(shared_data):
        data = path.read_bytes()
        try:
            image = decode_picture(data, LIMITS)
        except PictureError:
            refused.add(path.name)
            continue
        assert image.dtype == np.uint8, path
        assert image.shape[2] == 3, path
        assert image.flags.c_contiguous, path
        decoded.add(path.name)
    assert len(decoded) > 200
    assert {"decompression_bomb.gif", "truncated_jpeg.jpg", "truncated.png"} <= refused
    assert {"hopper.jpg", "basn6a16.png", "Landscape_0.jpg", "iss634.webp"} <= decoded


@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_real_photographs_of_all_orientations_are_one_picture(shared_data: Path, name: str) -> None:
    folder = shared_data / "images" / "orientation"
    images = [decode_picture((folder / f"{name}_{i}.jpg").read_bytes(), LIMITS) for i in range(9)]
    assert len({image.shape for image in images}) == 1
    for image in images[1:]:  # each was turned and then compressed anew
        assert np.abs(image.astype(int) - images[0]).mean() < 6


def test_colours_agree_with_pillow(shared_data: Path) -> None:
    names = ("pillow/hopper.jpg", "pillow/hopper.bmp", "pillow/pil_sample_cmyk.jpg")
    more = ("pngsuite/basn2c16.png", "pngsuite/basn3p08.png", "webp/segment02.webp")
    for name in names + more:
        data = (shared_data / "images" / name).read_bytes()
        with Pil.open(io.BytesIO(data)) as pil:
            expected = np.asarray(pil.convert("RGB"))[..., ::-1].astype(int)
        found = decode_picture(data, LIMITS).astype(int)
        # naive CMYK conversions differ a little between libraries
        assert np.abs(found - expected).mean() < (12 if "cmyk" in name else 2), name


@pytest.mark.slow
def test_memory_stays_flat_over_all_hostile_files(shared_data: Path) -> None:
    import psutil

    process = psutil.Process()
    small = PictureLimits(max_pixels=4_000_000)
    data = [path.read_bytes() for path in files(shared_data)]

    def all_of_them() -> int:
        for item in data:
            try:
                decode_picture(item, small)
            except PictureError:
                continue
        return int(process.memory_info().rss)

    all_of_them()
    settled = all_of_them()
    for _ in range(4):
        last = all_of_them()
    assert last - settled < 40 * 2**20
