"""The client against what is no Triton, or no well-behaved one."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

from sightline_engines.errors import EngineAwayError, ProviderError
from sightline_engines.triton.client import open_client
from sightline_engines.triton.errors import LateError, UnfitAnswerError
from sightline_engines.triton.options import Protocol, TritonOptions
from tests.triton.peer import peer, requested

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")
INFERENCE = {"IN": np.zeros((1, 4), np.float32)}
HEAD = (
    b'{"model_name": "m", "outputs": [{"name": "o", "datatype": "FP32", "shape": [1, 4], '
    b'"parameters": {"binary_data_size": 16}}]}'
)


def http_answer(content: bytes, *headers: bytes, length: int | None = None) -> bytes:
    size = b"Content-Length: %d" % (len(content) if length is None else length)
    return b"\r\n".join([b"HTTP/1.1 200 OK", size, *headers, b"", content])


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(b""),
        http_answer(b"[]"),
        http_answer(b"{}", b"Inference-Header-Content-Length: abc"),
        http_answer(b'{"model_name": "m", "outputs": [null]}'),
        http_answer(HEAD.replace(b'{"binary_data_size": 16}', b"null")),
        http_answer(HEAD + b"1234", b"Inference-Header-Content-Length: %d" % len(HEAD)),
        http_answer(b"[" * 100_000),
    ],
)
def test_an_answer_over_http_that_no_triton_gives_is_unfit(answer: bytes) -> None:
    with (
        peer(lambda connection: connection.sendall(answer)) as port,
        open_client(TritonOptions(None, f"127.0.0.1:{port}", "http", timeout_s=5)) as client,
        pytest.raises(UnfitAnswerError),
    ):
        client.infer("m", INFERENCE)


def test_an_answer_that_is_cut_off_is_no_answer() -> None:
    cut = http_answer(
        HEAD + b"1234", b"Inference-Header-Content-Length: %d" % len(HEAD), length=999
    )
    with (
        peer(lambda connection: connection.sendall(cut)) as port,
        open_client(TritonOptions(None, f"127.0.0.1:{port}", "http", timeout_s=5)) as client,
        pytest.raises(EngineAwayError, match="IncompleteRead") as caught,
    ):
        client.infer("m", INFERENCE)
    assert type(caught.value) is EngineAwayError


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"a"),
    ],
)
def test_who_sends_a_little_now_and_then_is_given_up_at_the_deadline_all_the_same(
    first: bytes, again: bytes
) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(again)
            time.sleep(0.02)

    with (
        peer(drip) as port,
        open_client(TritonOptions(None, f"127.0.0.1:{port}", "http", timeout_s=0.3)) as client,
        pytest.raises(LateError, match=r"within 0\.3 s"),
    ):
        client.infer("m", INFERENCE)


def test_what_must_not_be_done_twice_is_sent_once() -> None:
    heads: list[bytes] = []

    def dying(connection: socket.socket) -> None:  # takes a second request, and ends
        heads.append(requested(connection))
        connection.sendall(http_answer(b"{}"))
        heads.append(requested(connection))

    with (
        peer(dying, read=False) as port,
        open_client(TritonOptions(None, f"127.0.0.1:{port}", "http", timeout_s=5)) as client,
    ):
        for _ in range(3):  # the second goes by a connection that ends, and then by another
            assert client.live()
        client.load("m")
        client.load("m")
    posts = [head for head in heads if head.startswith(b"POST")]
    gets = [head for head in heads if head.startswith(b"GET")]
    assert (len(posts), len(gets)) == (2, 5)


@pytest.mark.parametrize(
    "url",
    [
        "https://there:8001",
        "grpcs://there:8001",
        "there",
        "there:",
        "there:80a",
        "there:99999",
        "a..b:80",
        "there:80/path",
        "ftp://there:80",
        "a b:80",
        ":8001",
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_no_address_is_refused_before_anything_is_asked(
    url: str, protocol: Protocol
) -> None:
    with pytest.raises(ProviderError, match=r"TLS|no address of Triton's"):
        open_client(TritonOptions(url, url, protocol))


@pytest.mark.parametrize(
    "url", ["there:1", "grpc://there:8001/", "http://[::1]:80", "1.2.3.4:65535"]
)
def test_an_address_may_have_a_scheme(url: str) -> None:
    with open_client(TritonOptions(url, url)) as client:
        assert client.url in url
