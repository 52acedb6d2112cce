"""`python -m sightline_monitoring.alertmanager [FILE]`: write alertmanager.yml, or say why not."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from sightline_monitoring.alertmanager.configuration import rendered, told
from sightline_monitoring.alertmanager.problems import problems
from sightline_monitoring.alertmanager.settings import AlertSettings, explained

MODE = 0o644  # Alertmanager runs as another user, and no secret is in it


def main() -> int:
    """Write the configuration; return the exit status."""
    options = argparse.ArgumentParser(
        prog="python -m sightline_monitoring.alertmanager",
        description="Make Alertmanager's configuration from SIGHTLINE_ALERT_* variables.",
    )
    options.add_argument("file", nargs="?", type=Path, help="unset: the standard output")
    file: Path | None = options.parse_args().file
    try:
        settings = AlertSettings()
    except ValidationError as error:
        return _refuse(explained(error), file)
    if found := problems(settings):
        return _refuse(found, file)
    text = rendered(settings)
    if file is None:
        sys.stdout.write(text)
    else:
        try:
            _replace(file, text)
        except OSError as error:
            print(f"{file} can't be written: {error}; name a file in a folder that this user may "
                  "write to", file=sys.stderr)  # fmt: skip
            return 1
    print(told(settings), file=sys.stderr)
    return 0


def _refuse(lines: list[str], file: Path | None) -> int:
    print("\n".join(lines), file=sys.stderr)
    if file is not None and file.exists():
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        print(f"NOTHING OF THIS IS IN FORCE: alerts go where the configuration of "
              f"{written:%Y-%m-%d %H:%M} UTC sends them.", file=sys.stderr)  # fmt: skip
    elif file is not None:
        print("NO ALERT REACHES ANYBODY: there is no configuration yet, and without one "
              "Alertmanager doesn't start.", file=sys.stderr)  # fmt: skip
    return 2


def _replace(file: Path, text: str) -> None:
    """Write the file so that a reader finds the old one or the new one, whole."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        os.chmod(name, MODE)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main())
