"""One colour for one meaning, on every panel of every dashboard."""

from __future__ import annotations

GOOD = "green"
NOTICE = "yellow"
WARNING = "orange"
BAD = "red"
WORST = "dark-red"
REFUSED = "purple"
LIMIT = "dark-red"  # a line that must not be crossed
PLAIN = "blue"
QUIET = "text"  # what the rest is to be compared with

P50 = "super-light-blue"
P95 = "blue"
P99 = "dark-blue"

SERVER = "blue"
ENGINES = "purple"
HOST = "text"

# Of a label's values, for lines that are named by the label alone.
BY_LABEL: dict[str, dict[str, str]] = {
    "result": {
        "answered": GOOD,
        "dropped": NOTICE,
        "refused": REFUSED,
        "failed": BAD,
        "loaded": GOOD,
        "done": GOOD,
        "cancelled": QUIET,
        "interrupted": NOTICE,
        "swapped": GOOD,
        "rolled_back": NOTICE,
        "built": GOOD,
        "ok": GOOD,
        "away": WARNING,
        "deployed": GOOD,
        "removed": QUIET,
    },
    "ran_on": {"triton": GOOD, "fallback": WARNING},
    "reason": {
        "superseded": NOTICE,
        "late": WARNING,
        "closing": QUIET,
        "streams": "blue",
        "rate": "super-light-blue",
        "uploads": "purple",
        "engine": BAD,
        "model": "semi-dark-orange",
        "crashed": BAD,
        "hung": WARNING,
        "failing": "dark-red",
    },
    "stage": {
        "decode": "purple",
        "preprocess": "super-light-blue",
        "infer": "blue",
        "postprocess": "green",
    },
    "kind": {
        "live": "blue",
        "upload": "purple",
        "corrected": NOTICE,
        "uncorrected": BAD,
    },
    "state": {"queued": QUIET, "running": "blue"},
    "direction": {"sent": "purple", "received": "blue"},
}
