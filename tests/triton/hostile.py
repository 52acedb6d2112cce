"""Names that lead out of a folder, or mean something to a shell, a URL or a file system."""

from __future__ import annotations

HOSTILE_NAMES = (
    "",
    ".",
    "..",
    "../outside",
    "../../outside",
    "inside/../../outside",
    "a/b",
    "/etc",
    "/",
    "\\\\host\\share",
    "..\\outside",
    "C:\\outside",
    "%2e%2e%2foutside",
    "..%2foutside",
    "..%252foutside",
    "\u2025/outside",  # a two-dot leader
    "\uff0e\uff0e\uff0foutside",  # full-width dots and slash, which NFKC folds
    "cafe\u0301",
    "a\u202eb",
    "a\x00b",
    "a\nb",
    "a b",
    " a",
    ".hidden",
    "-option",
    "~root",
    "$HOME",
    "a;b",
    "a'b",
    'a"b',
    "a" * 129,
    "a" * 100_000,
)
