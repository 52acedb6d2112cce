"""Log lines: readable at a terminal, JSON for log collectors.

What a caller wrote can't forge a line or move the cursor of whoever reads it: JSON escapes it,
and so do we for the terminal.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

if TYPE_CHECKING:  # a worker process has no use for them
    from sightline_backend.settings import Settings

LogFormat = Literal["console", "json"]


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What is written, and how."""

    level: str = "info"
    format: LogFormat = "console"


def configure_logs(settings: Settings) -> None:
    """Send this process's log lines, those of its libraries included, to stderr."""
    configure(LogOptions(settings.log_level, settings.log_format))


def configure(options: LogOptions, **said: str) -> None:
    """Send log lines to stderr; `said` is in each of them, such as the model of a worker."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Saying(said),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first: a line that isn't written costs little
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(options),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(options.level.upper())
    for chatty in ("uvicorn", "httpx", "httpcore", "urllib3", "websockets"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _Saying:
    """Puts the same facts into every line, whichever thread writes it."""

    def __init__(self, said: dict[str, str]) -> None:
        self._said = said

    def __call__(self, _logger: Any, _method: str, line: EventDict) -> EventDict:
        return {**self._said, **line}


def _rendering(options: LogOptions) -> list[Processor]:
    if options.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    colours = sys.stderr.isatty()
    return [
        _printable,
        structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=_traceback),
    ]


def _printable(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Show as escapes what would move the cursor or begin a line of its own."""
    return {
        key: _escaped(value) if isinstance(value, str) and not value.isprintable() else value
        for key, value in line.items()
    }


def _traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback without locals, which the default prints, pictures and all."""
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.write("\n".join(_escaped(line) for line in text.getvalue().split("\n")))


def _escaped(text: str) -> str:
    text = text.removesuffix("\n")  # uvicorn ends a line with it
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
