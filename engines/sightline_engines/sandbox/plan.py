"""What a walled child may do: its limits, its files, and which walls are built."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

# In the order in which they are built; `walls.py` says what each keeps out.
WALLS = ("limits", "namespaces", "capabilities", "files", "calls")
# Without these two nothing untrusted is opened: one keeps files safe, the other keeps the child
# from the network, from starting programs and from reaching other processes.
REQUIRED = ("files", "calls")


@dataclass(frozen=True, slots=True)
class Limits:
    """Most that a child may take."""

    memory_bytes: int = 8 * 2**30  # address space; PyTorch alone maps two to four GB
    cpu_s: int = 900
    wall_s: float = 1200
    disk_bytes: int = 2 * 2**30  # of any file, and of the scratch folder in all
    files: int = 64  # in the scratch folder
    open_files: int = 256
    threads: int = 64
    said_bytes: int = 2**20  # that it may print


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: sent to the child before it starts."""

    task: str  # a module with `run(arguments, tell)`; trusted, and imported before the walls
    arguments: dict[str, Any]
    scratch: Path  # the only folder that may be written; no links can be made in it
    read: tuple[Path, ...]  # what may be read: files, or folders with all below them
    import_from: tuple[str, ...]  # the child's sys.path
    limits: Limits = field(default_factory=Limits)
    walls: tuple[str, ...] = WALLS
    required: tuple[str, ...] = REQUIRED
    folders: bool = False  # may be made in `scratch`

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        read = [str(path) for path in self.read]
        return asdict(self) | {"scratch": str(self.scratch), "read": read}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote and JSON carried."""
        return cls(
            task=data["task"],
            arguments=data["arguments"],
            scratch=Path(data["scratch"]),
            read=tuple(Path(path) for path in data["read"]),
            import_from=tuple(data["import_from"]),
            limits=Limits(**data["limits"]),
            walls=tuple(data["walls"]),
            required=tuple(data["required"]),
            folders=data["folders"],
        )
