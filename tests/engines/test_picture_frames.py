"""Live frames: decoded no larger than the network sees them, and refused as uploads are."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from sightline_engines.errors import PictureCorruptError, PictureError, PictureTooLargeError
from sightline_engines.picture import PictureLimits, decode_frame, decode_picture, encode_jpeg
from sightline_engines.preprocess import letterbox_into
from tests.engines.encoded import encoded, exif, many_scans, scene
from tests.engines.test_picture import LIMITS, STORED, files


@pytest.mark.parametrize(
    ("size", "input_wh", "decoded"),
    [
        ((1, 1), (416, 416), (1, 1)),
        ((640, 480), (416, 416), (640, 480)),
        ((1039, 200), (416, 416), (1039, 200)),  # a pixel less than enough for a half
        ((1040, 200), (416, 416), (520, 100)),
        ((200, 1040), (416, 416), (100, 520)),
        ((1281, 721), (416, 416), (641, 361)),
        ((1280, 720), (640, 640), (1280, 720)),
        ((1280, 720), (416, 100), (320, 180)),  # the height is what binds
        ((2561, 1441), (416, 416), (641, 361)),
        ((2560, 8), (256, 256), (320, 1)),
        ((2560, 1440), (32, 32), (320, 180)),
    ],
)
def test_a_jpeg_is_decoded_no_larger_than_needed(
    size: tuple[int, int], input_wh: tuple[int, int], decoded: tuple[int, int]
) -> None:
    image, size_wh = decode_frame(encoded(scene(*size), "JPEG"), LIMITS, input_wh)
    assert size_wh == size
    assert image.shape == (decoded[1], decoded[0], 3)


@settings(deadline=None, max_examples=50)
@given(*[st.integers(1, 700)] * 2, *[st.sampled_from((32, 64, 160, 416))] * 2)
def test_any_frame_covers_its_place_in_the_input(
    width: int, height: int, input_width: int, input_height: int
) -> None:
    input_wh = (input_width, input_height)
    data = encode_jpeg(np.zeros((height, width, 3), np.uint8))
    image, size_wh = decode_frame(data, LIMITS, input_wh)
    assert size_wh == (width, height)
    out = np.zeros((input_height, input_width, 3), np.uint8)
    for centre in (True, False):
        box = letterbox_into(out, image, centre, 114, size_wh)
        assert image.shape[1] >= min(width, box.scale_x * width)
        assert image.shape[0] >= min(height, box.scale_y * height)
        assert box == letterbox_into(out, decode_picture(data, LIMITS), centre, 114)


@pytest.mark.parametrize("kind", ["PNG", "WebP", "BMP"])
def test_formats_that_can_not_be_reduced_come_in_full(kind: str) -> None:
    image, size_wh = decode_frame(encoded(scene(640, 320), kind), LIMITS, (32, 32))
    assert (size_wh, image.shape) == ((640, 320), (320, 640, 3))


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_reduced_frame_is_upright_and_its_size_too(turned: int) -> None:
    data = encoded(STORED[turned](scene(480, 320)), "JPEG", exif=exif(turned), quality=95)
    image, size_wh = decode_frame(data, LIMITS, (96, 96))
    assert (size_wh, image.shape) == ((480, 320), (80, 120, 3))
    for corner in np.s_[4, 4], np.s_[4, -5], np.s_[-5, 4], np.s_[-5, -5]:
        np.testing.assert_allclose(image[corner], scene()[corner], atol=20)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_frames_become_three_channels(mode: str) -> None:
    out = io.BytesIO()
    Pil.new("RGB", (400, 200), (200, 200, 200)).convert(mode).save(out, "JPEG")
    image, size_wh = decode_frame(out.getvalue(), LIMITS, (64, 64))
    assert (size_wh, image.shape[2]) == ((400, 200), 3)
    assert abs(float(np.median(image)) - 200) <= 4


def claiming(size_wh: tuple[int, int], at: int) -> bytes:
    """Return a JPEG of 400x300 whose frame header, the one at that place, tells another size."""
    data = bytearray(encoded(scene(400, 300), "JPEG"))
    frame = data.index(b"\xff\xc0") + 5
    told = struct.pack(">HH", size_wh[1], size_wh[0])
    if at == 0:
        data[frame : frame + 4] = told
        return bytes(data)
    second = bytes(data[frame - 5 : frame]) + told + bytes(data[frame + 4 : frame + 14])
    return bytes(data[: frame + 14]) + second + bytes(data[frame + 14 :])


@pytest.mark.parametrize("size", [(4000, 3000), (400, 30)])
def test_a_second_frame_header_is_no_way_around_the_first(size: tuple[int, int]) -> None:
    with pytest.raises(PictureCorruptError):
        decode_frame(claiming(size, 1), PictureLimits(max_pixels=120_000), (64, 64))


def test_a_header_that_claims_more_than_the_limit_is_refused_before_decoding() -> None:
    with pytest.raises(PictureTooLargeError):
        decode_frame(claiming((4000, 3000), 0), PictureLimits(max_pixels=120_000), (64, 64))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_frame_that_is_cut_off_is_refused_at_any_scale(share: float) -> None:
    rng = np.random.default_rng(3)
    data = encoded(rng.integers(0, 256, (512, 512, 3), np.uint8), "JPEG")
    with pytest.raises(PictureCorruptError, match="cut off"):
        decode_frame(data[: int(len(data) * share)], LIMITS, (64, 64))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=6))
def test_damage_anywhere_gives_a_frame_or_a_picture_error(at: int, patch: bytes) -> None:
    data = bytearray(encoded(scene(160, 160), "JPEG"))
    at %= len(data)
    data[at : at + len(patch)] = patch
    try:
        image, (width, height) = decode_frame(
            bytes(data), PictureLimits(max_pixels=10**6), (32, 32)
        )
    except PictureError:
        return
    assert image.shape[0] <= height
    assert image.shape[1] <= width


def test_fewer_scans_than_an_upload_may_have_can_be_set() -> None:
    limits = PictureLimits(max_scans=12)
    assert decode_picture(encoded(scene(), "JPEG", progressive=True), limits).shape == scene().shape
    with pytest.raises(PictureCorruptError, match="more than 12 scans"):
        decode_frame(many_scans(20), limits, (32, 32))


def test_every_hostile_file_is_the_same_picture_live_or_refused_alike(shared_data: Path) -> None:
    for path in files(shared_data):
        data = path.read_bytes()
        try:
            image = decode_picture(data, LIMITS)
        except PictureError as error:
            with pytest.raises(type(error)):
                decode_frame(data, LIMITS, (64, 64))
            continue
        live, size_wh = decode_frame(data, LIMITS, (64, 64))
        assert size_wh == (image.shape[1], image.shape[0]), path
        assert abs(float(live.mean()) - float(image.mean())) < 3, path
