"""A server, or a command, whose jobs give way to nobody; conversions can do what a test wants.

    python -m tests.backend.job_server [COMMAND…]

Jobs of the lowest priority would wait for minutes where other tests run.
"""

from __future__ import annotations

import sys
from functools import partial

import pytest

from sightline_backend.jobs import settings, supervisor
from sightline_backend.jobs.requests import Kind
from tests.conftest import ROOT

TEST_WORK: dict[Kind, str] = {"convert": "tests.backend.job_work"}


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jobs give way to nobody."""
    monkeypatch.setattr(settings, "JobSettings", partial(supervisor.JobSettings, give_way=False))


def do_test_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have conversions do what their first label says, at once: see `job_work`."""
    hurry(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(supervisor, "WORK", TEST_WORK)


def main(arguments: list[str]) -> None:
    """Run the server, whose conversions do test work, or a command, whose do what they should."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if arguments:
            from sightline_backend.cli.main import app

            hurry(monkeypatch)
            app(arguments)
        else:
            from sightline_backend.__main__ import main as serve

            do_test_work(monkeypatch)
            serve()


if __name__ == "__main__":
    main(sys.argv[1:])
