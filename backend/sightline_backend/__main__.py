"""`python -m sightline_backend`: the server, set by SIGHTLINE_* variables alone."""

from __future__ import annotations

import sys

from pydantic import ValidationError

from sightline_backend.logs import configure_logs
from sightline_backend.loop import run
from sightline_backend.server import serve
from sightline_backend.settings import Settings
from sightline_engines.errors import SightlineError


def main() -> int:
    """Serve; return the exit status."""
    try:
        settings = Settings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    configure_logs(settings)
    try:
        run(serve(settings))
    except SightlineError as error:
        print(error.message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
