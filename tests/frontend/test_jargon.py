"""What is made of gRPC's words."""

from __future__ import annotations

import pytest

from sightline_frontend.jargon import jargon, plainly

ALL = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:8001: "
SAID = [
    ("", ""),
    ("It is down.", "It is down."),
    (f"{ALL}Failed to connect to remote host: Connection refused", "the connection is refused"),
    (
        f"Triton at a:1 doesn't answer: {ALL}connect: Connection refused. See that it runs.",
        "Triton at a:1 doesn't answer: the connection is refused. See that it runs.",
    ),
    (f"No: {ALL}connection attempt timed out.", "No: the connection takes too long."),
    (
        "DNS resolution failed for triton:8001: C-ares status is not ARES_SUCCESS",
        "nobody knows its name",
    ),
    (f"{ALL}No route to host.", "no way leads there."),
    (f"{ALL}FD shutdown\nand more.", "the connection fails."),
]


@pytest.mark.parametrize(("text", "plain"), SAID)
def test_a_connection_s_end_is_told_plainly_and_the_words_are_kept(text: str, plain: str) -> None:
    assert plainly(text) == plain
    assert jargon(text) == (None if text == plain else text)
