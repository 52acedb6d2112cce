"""The pages' settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sightline_frontend.settings import IceServer, Settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SIGHTLINE_{name.upper()}", raising=False)


def test_without_a_word_the_local_backend_and_no_relay_are_used() -> None:
    settings = Settings()
    assert settings.stream_url == "ws://127.0.0.1:8000/ws/detect"
    assert settings.backend_port == 8000
    assert settings.public_backend_url is None
    assert settings.ice_servers == ()


@pytest.mark.parametrize(
    ("url", "stream_url", "port"),
    [
        ("http://127.0.0.1:9000/", "ws://127.0.0.1:9000/ws/detect", 9000),
        ("https://cams.example.org", "wss://cams.example.org/ws/detect", 443),
        ("http://backend/api", "ws://backend/api/ws/detect", 80),
    ],
)
def test_the_stream_lies_beside_the_http_api(
    monkeypatch: pytest.MonkeyPatch, url: str, stream_url: str, port: int
) -> None:
    monkeypatch.setenv("SIGHTLINE_BACKEND_URL", url)
    settings = Settings()
    assert settings.stream_url == stream_url
    assert settings.backend_port == port


def test_a_browser_may_find_the_detector_at_another_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_BACKEND_URL", "http://backend:8000")
    monkeypatch.setenv("SIGHTLINE_PUBLIC_BACKEND_PORT", "8010")
    settings = Settings()
    assert settings.backend_port == 8010
    assert settings.stream_url == "ws://backend:8000/ws/detect"


def test_relays_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "SIGHTLINE_ICE_SERVERS",
        '[{"urls": "stun:a"}, {"urls": ["turn:b"], "username": "u", "credential": "p"}]',
    )
    assert Settings().ice_servers == (
        IceServer(urls="stun:a"),
        IceServer(urls=["turn:b"], username="u", credential="p"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKEND_URL", ""),
        ("BACKEND_URL", "127.0.0.1:8000"),
        ("PUBLIC_BACKEND_URL", "ftp://cams.example.org"),
        ("PUBLIC_BACKEND_PORT", "0"),
        ("ICE_SERVERS", '[{"url": "stun:a"}]'),
        ("ICE_SERVERS", '{"urls": "stun:a"}'),
        ("JPEG_QUALITY", "0"),
        ("REQUEST_TIMEOUT_S", "0"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_an_empty_public_address_means_the_pages_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_PUBLIC_BACKEND_URL", "")
    assert Settings().public_backend_url is None
