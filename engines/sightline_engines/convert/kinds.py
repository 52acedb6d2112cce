"""What kind of PyTorch file it is, told without unpickling: from its listing and its opcodes."""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from sightline_engines.archive import ArchiveError, ArchiveLimits, check_listing
from sightline_engines.errors import ModelFileError

_MAX_PICKLE_BYTES = 64 * 2**20  # of the pickle alone: weights lie beside it
_MAX_MEMBERS = 100_000
_MAX_OPCODES = 5_000_000
_LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # PyTorch before 1.6
# What tensors and dicts of settings are made of; anything else is a class of somebody's own.
_PLAIN = ("torch.", "collections.", "numpy.", "_codecs.", "__builtin__.set", "builtins.set")


class Kind(StrEnum):
    """How a checkpoint is to be opened."""

    ULTRALYTICS = "ultralytics"
    TORCHSCRIPT = "torchscript"
    MODULE = "module"  # a pickled torch.nn.Module, or a dict that holds one


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a checkpoint tells."""

    kind: Kind
    names: frozenset[str]  # of what the pickle asks for, as module.name; none of TorchScript


def look(path: Path) -> Looked:
    """Return a checkpoint's kind; raises ModelFileError naming what it is and what to do."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_LEGACY_START))
            file.seek(0)
            if start.startswith(b"PK"):
                return _look_into_zip(file, path.name)
            if start == _LEGACY_START:
                return _judge(_names_in_legacy(file, path.name), path.name)
    except OSError as error:
        raise ModelFileError(f"{path} can't be read: {error.strerror or error}.") from error
    raise ModelFileError(
        f"{path.name} is not a PyTorch checkpoint. Accepted are files by torch.save, by "
        "torch.jit.save and by Ultralytics; is the download complete?"
    )


def _look_into_zip(file: IO[bytes], name: str) -> Looked:
    try:
        check_listing(file, ArchiveLimits(members=_MAX_MEMBERS), name)
        with zipfile.ZipFile(file) as archive:
            members = archive.namelist()
            tops = [member.partition("/")[2] for member in members]
            if "constants.pkl" in tops and any(top.startswith("code/") for top in tops):
                return Looked(Kind.TORCHSCRIPT, frozenset())
            if tops.count("data.pkl") != 1:
                raise ModelFileError(
                    f"{name} is an archive, but no PyTorch checkpoint: it has no data.pkl."
                )
            info = archive.getinfo(members[tops.index("data.pkl")])
            with archive.open(info) as member:
                data = member.read(_MAX_PICKLE_BYTES + 1)
    except ArchiveError as error:
        raise ModelFileError(f"{name} is a damaged archive: {error.message}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ModelFileError(f"{name} is a damaged archive: {error}.") from error
    if len(data) > _MAX_PICKLE_BYTES:
        raise ModelFileError(
            f"The pickle in {name} is larger than {_MAX_PICKLE_BYTES // 2**20} MB, which no "
            "checkpoint needs: its weights lie beside it."
        )
    return _judge(_names(io.BytesIO(data), name), name)


def _judge(names: frozenset[str], name: str) -> Looked:
    if any(asked.startswith("ultralytics.") for asked in names):
        return Looked(Kind.ULTRALYTICS, names)
    if any(asked.startswith(("models.yolo.", "models.common.")) for asked in names):
        raise ModelFileError(
            f"{name} was saved by YOLOv5's or YOLOv7's own code, which has to be there to open it. "
            "Export it there: python export.py --weights model.pt --include onnx --dynamic."
        )
    own = {asked for asked in names if not asked.startswith(_PLAIN)}
    if own or any(asked.startswith("torch.nn.modules.") for asked in names):
        return Looked(Kind.MODULE, names)
    if any(asked.startswith("torch.") for asked in names):
        raise ModelFileError(
            f"{name} holds weights alone (a state_dict), not the network they belong to. Export it "
            "where its code is: build the network, call load_state_dict(torch.load(…)), then "
            "sightline_engines.convert.torch_module.export_module(network, path, (640, 640)), or "
            "torch.jit.script(network).save('model.pt')."
        )
    raise ModelFileError(f"{name} is a pickle with no PyTorch model in it.")


def _names_in_legacy(file: IO[bytes], name: str) -> frozenset[str]:
    """Look at the fourth pickle: before it stand a number, a version and the system's facts."""
    for _ in range(3):
        _names(file, name)
    return _names(file, name)


def _names(file: IO[bytes], name: str) -> frozenset[str]:
    """Return every module.name that a pickle asks for."""
    try:
        return frozenset(_globals(file))
    except Exception as error:  # pickletools raises many kinds on what is no pickle
        raise ModelFileError(f"The pickle in {name} is damaged: {error}.") from error


def _globals(file: IO[bytes]) -> Iterator[str]:
    """Follow the opcodes; the newer way of naming takes the two texts that were pushed last."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    stored = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > _MAX_OPCODES:
            raise ValueError(f"more than {_MAX_OPCODES} steps")
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif "UNICODE" in opcode.name or opcode.name.endswith("STRING"):
            texts = [*texts[-1:], str(argument)[:200]]
        elif opcode.name == "MEMOIZE":
            memo[stored] = texts[-1] if texts else ""
            stored += 1
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(str(argument))] = texts[-1] if texts else ""
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            texts = [*texts[-1:], memo.get(int(str(argument)), "")]
