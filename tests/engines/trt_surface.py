"""Which names of TensorRT and cuda-python our source uses, and whether a binding has them.

`python -m tests.engines.trt_surface` checks the installed ones; the bindings load without a GPU.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sightline_engines

LISTED = Path(__file__).parent / "trt_surface.json"
FILES = (
    "trt.py",
    "trt_plan.py",
    "trt_memory.py",
    "convert/trt_builder.py",
    "convert/build_phases.py",
    "convert/timing_cache.py",
)
# What a variable of that name holds, throughout those files.
_CLASSES = {
    "trt": "",
    "builder": "Builder.",
    "cache": "ITimingCache.",
    "config": "IBuilderConfig.",
    "context": "IExecutionContext.",
    "engine": "ICudaEngine.",
    "network": "INetworkDefinition.",
    "parser": "OnnxParser.",
    "parse_error": "ParserError.",
    "runtime": "Runtime.",
}
_OURS = {
    "engine.infer",
    "engine.warm",
    "plan.context",
    "plan.engine",
}  # the Engine protocol's, on a local
_OVERRIDDEN = {  # of classes that ours inherit from
    "ILogger.log",
    "IProgressMonitor.phase_start",
    "IProgressMonitor.step_complete",
    "IProgressMonitor.phase_finish",
}


def used_names() -> dict[str, list[str]]:
    """Return the names used of each library, sorted."""
    found: dict[str, set[str]] = {"tensorrt": set(_OVERRIDDEN), "cuda": set()}
    folder = Path(sightline_engines.__file__).parent
    for file in FILES:
        for chain in _chains(ast.parse((folder / file).read_text(encoding="utf-8"))):
            root, _, rest = chain.partition(".")
            if not rest:
                continue
            if root == "api":
                found["cuda"].add(rest)
            elif root in _CLASSES and chain not in _OURS and "__init__" not in rest:
                found["tensorrt"].add(_CLASSES[root] + rest)
    return {library: sorted(names) for library, names in found.items()}


def missing_names(trt: Any, cuda: Any, listed: dict[str, list[str]]) -> list[str]:
    """Return the listed names that the given modules lack."""
    places = (("tensorrt", trt), ("cuda", cuda))
    return [f"{k}: {n}" for k, module in places for n in listed[k] if not _has(module, n)]


def _has(place: Any, dotted: str) -> bool:
    for part in dotted.split("."):
        if not hasattr(place, part):
            return False
        place = getattr(place, part)
    return True


def _chains(tree: ast.AST) -> Iterator[str]:
    """Yield each longest a.b.c of a tree, without a leading self or underscore."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            parts: list[str] = []
            walked: ast.expr = node
            while isinstance(walked, ast.Attribute):
                parts.append(walked.attr)
                walked = walked.value
            if isinstance(walked, ast.Name):
                parts.append(walked.id)
                names = [part for part in reversed(parts) if part != "self"]
                if names[0] in ("plan", "_api"):  # a Plan's fields, a stream's module
                    names = names[1:] if names[0] == "plan" else ["api", *names[1:]]
                yield ".".join(names)


def main() -> None:
    """Check the installed bindings against the list."""
    import tensorrt

    from sightline_engines.trt_memory import cuda_runtime

    listed = json.loads(LISTED.read_text(encoding="utf-8"))
    missing = missing_names(tensorrt, cuda_runtime(), listed)
    print(tensorrt.__version__, "lacks", missing or "nothing")
    raise SystemExit(bool(missing))


if __name__ == "__main__":
    main()
