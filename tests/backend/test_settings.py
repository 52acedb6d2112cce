"""Settings come from SIGHTLINE_* variables, checked, and never change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sightline_backend.settings import Settings


def test_there_is_a_default_for_everything() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.model) == ("127.0.0.1", 8000, "sightline-webcam")
    assert settings.max_upload_bytes == 20 * 2**20
    assert settings.max_frame_bytes == 2**20
    assert settings.max_pixels == 50_000_000
    assert settings.credits == 2


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_PORT", "9000")
    monkeypatch.setenv("SIGHTLINE_PRELOAD", "a, b,")
    monkeypatch.setenv("SIGHTLINE_ALLOWED_ORIGINS", "https://Cams.example.org,http://box:81")
    monkeypatch.setenv("SIGHTLINE_DEVICE", "")
    settings = Settings()
    assert settings.port == 9000
    assert settings.preload == ("a", "b")
    assert settings.allowed_origins == ("https://cams.example.org", "http://box:81")
    assert settings.device is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65_536),
        ("credits", 0),
        ("deadline_ms", 0),
        ("max_frame_bytes", 0),
        ("idle_timeout_s", 0),
        ("engine", "abacus"),
        ("log_level", "loud"),
        ("allowed_origins", "cams.example.org"),
        ("allowed_origins", "https://cams.example.org/"),
        ("preload", "a,b,c"),
        ("trace_share", 1.5),
        ("trace_to", "localhost:4318"),
        ("trace_to", "ftp://localhost:4318"),
        ("trace_to", "http://"),
        ("trace_to", "https:///v1/traces"),
        ("trace_to", "http://a b:4318"),
        ("trace_to", "http://a\t:4318"),
        ("trace_to", "http://host:notaport"),
        ("trace_to", "http://host:70000"),
        ("trace_to", "http://[::1:4318"),
        ("colour", "red"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match="max_models" if name == "preload" else name):
        Settings.model_validate({name: value})


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:4318",
        "https://user:secret@collector.example.org/v1/traces",
        "http://[::1]:4318",
    ],
)
def test_an_address_of_a_collector_is_taken_as_it_is(address: str) -> None:
    assert Settings(trace_to=address).trace_to == address


def test_settings_cant_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1
