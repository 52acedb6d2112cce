"""The load generator's HTTP: requests it writes and answers it reads."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.http1 import post_request, read_answer

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"
)
CLOSING = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", None),
        (PLAIN, (200, b"hello", True)),
        (CHUNKED, (503, b"hello", True)),
        (CLOSING, (404, b"", False)),
        (CONTINUED, (200, b"hello", True)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", (200, b"", False)),
    ],
)
def test_an_answer_is_read(data: bytes, expected: tuple[int, bytes, bool] | None) -> None:
    assert read_answer(bytearray(data)) == expected


@given(st.sampled_from([PLAIN, CHUNKED, CLOSING, CONTINUED]), st.data())
def test_a_part_of_an_answer_is_no_answer(whole: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert read_answer(bytearray(whole[:cut])) is None


def test_a_picture_goes_as_the_named_field_of_a_form() -> None:
    request = post_request(urlsplit("http://host:81/detect?conf=0.4"), b"\xff\xd8jpeg", "image")
    head, _, body = request.partition(b"\r\n\r\n")
    first, _, fields = head.partition(b"\r\n")
    assert first == b"POST /detect?conf=0.4 HTTP/1.1"
    assert f"Content-Length: {len(body)}".encode() in fields
    form = BytesParser(policy=HTTP).parsebytes(fields + b"\r\n\r\n" + body)
    (part,) = form.iter_parts()
    assert part["content-disposition"].params["name"] == "image"
    assert part.get_payload(decode=True) == b"\xff\xd8jpeg"


def test_a_picture_goes_as_the_whole_body_when_asked() -> None:
    request = post_request(urlsplit("http://host"), b"jpeg", None)
    assert request.startswith(b"POST / HTTP/1.1\r\nHost: host\r\n")
    assert request.endswith(b"Content-Type: image/jpeg\r\nContent-Length: 4\r\n\r\njpeg")
