"""Which pages may use the server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.origins import host_is_certain, origin_allowed

EXTRA = ("https://cams.example.org",)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, None, True),
        (None, "box:8000", True),
        ("", "box:8000", False),
        ("null", "box:8000", False),
        ("null", "null", False),
        ("http://box:8501", "box:8000", True),
        ("https://box", "box:8000", True),
        ("http://BOX:8501", "box", True),
        ("http://[fd00::1]:8501", "[fd00::1]:8000", True),
        ("http://localhost:8501", "127.0.0.1:8000", True),
        ("http://[::1]:8501", "localhost:8000", True),
        ("http://box:8501", "other:8000", False),
        ("http://box.evil.example", "box:8000", False),
        ("http://evil.example/box", "box:8000", False),
        ("http://box@evil.example", "box:8000", False),
        ("http://localhost.evil.example", "localhost:8000", False),
        ("http://[", "box:8000", False),
        ("http://box:8501", None, False),
        ("http://box:8501", "", False),
        ("https://cams.example.org", "box:8000", True),
        ("HTTPS://CAMS.EXAMPLE.ORG", "box:8000", True),
        ("http://cams.example.org", "box:8000", False),
        ("https://cams.example.org:444", "box:8000", False),
    ],
)
def test_pages_of_the_servers_own_host_and_listed_ones_are_allowed(
    origin: str | None, host: str | None, allowed: bool
) -> None:
    assert origin_allowed(origin, host, EXTRA) is allowed


def test_a_star_allows_every_page() -> None:
    assert origin_allowed("null", "box", ("*",))


@given(st.text(), st.text())
def test_no_header_breaks_the_check(origin: str, host: str) -> None:
    assert origin_allowed(origin, host, EXTRA) in (True, False)


@pytest.mark.parametrize(
    ("host", "certain"),
    [
        (None, False),
        ("", False),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.7", True),
        ("localhost:8000", True),
        ("box:8000", True),
        ("camera-box.local:8000", True),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("[", False),
    ],
)
def test_a_name_that_a_stranger_can_own_is_not_certain(host: str | None, certain: bool) -> None:
    assert host_is_certain(host) is certain
