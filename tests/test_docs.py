"""The documentation and the code name the same things."""

from __future__ import annotations

import re

import pytest
from pydantic_settings import BaseSettings

from sightline_backend.settings import Settings as ServerSettings
from sightline_frontend.settings import Settings as PageSettings
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    ("part", "settings"), [("Server", ServerSettings), ("Pages", PageSettings)]
)
def test_every_setting_is_described_with_its_default(
    part: str, settings: type[BaseSettings]
) -> None:
    text = (ROOT / "docs" / "settings.md").read_text().partition(f"## {part}\n")[2]
    text = text.partition("\n## ")[0] + "\n"
    for name, field in settings.model_fields.items():
        row = re.search(rf"\| `SIGHTLINE_{name.upper()}` \| (.+?) \| (.+?) \|\n", text)
        assert row, name
        assert row[2] == field.description
        if isinstance(field.default, int | float | str):
            default = str(field.default)
            assert row[1] == (default.lower() if isinstance(field.default, bool) else default)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_target_a_page_names_exists(page: object) -> None:
    text = (ROOT / str(page)).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / str(page)).parent / target).exists(), target
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert target in targets, target
