"""What was measured, as a table for a terminal, and the recommendation under it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sightline_backend.cli.console import stdout
from sightline_engines.benchmark.cells import Cell, CellResult
from sightline_engines.benchmark.recommend import Limits, Recommendation

_NUMBERS = ("mAP50-95", "p50 ms", "p95 ms", "fps", "alone ms", "cores", "MiB")


def cells_table(results: Sequence[CellResult], best: Cell | None) -> Table:
    """Return one row a cell: accuracy, the whole pipeline, the engine alone, what it takes.

    Sizes and instances are shown where they differ: a terminal has 80 columns.
    """
    sizes = len({result.cell.input_size_wh for result in results}) > 1
    several = any(result.cell.instances > 1 for result in results)
    table = Table("", "Engine", "Prec.", box=None, padding=(0, 1, 0, 0))
    names = ("Batch", *(("Input",) if sizes else ()), *(("Inst.",) if several else ()), *_NUMBERS)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        cell = result.cell
        row = ["→" if cell == best else "", cell.engine, cell.precision, str(cell.batch)]
        row += ["x".join(map(str, cell.input_size_wh))] if sizes else []
        row += [str(cell.instances)] if several else []
        table.add_row(*map(Text, (*row, *_figures(result))), style=_style(result, best))
    return table


def show_remarks(results: Sequence[CellResult]) -> None:
    """Print why cells have no figures, and what is to be known of those that have."""
    said: dict[str, list[Cell]] = {}
    for result in results:
        remarks = [f"{result.state}: {result.error}"] if result.error else []
        for remark in (*remarks, *result.notes):
            said.setdefault(remark, []).append(result.cell)
    for remark, cells in said.items():
        where = "" if len(cells) == len(results) > 1 else f"{_named(cells)}: "
        stdout.print(f"{where}{remark}", style="dim", markup=False, soft_wrap=True)


def _named(cells: Sequence[Cell]) -> str:
    """Name cells in few words: engine and precision once, then the batches."""
    batches: dict[str, list[int]] = {}
    for cell in cells:
        batches.setdefault(f"{cell.engine} {cell.precision}", []).append(cell.batch)
    return "; ".join(
        f"{name} batch {', '.join(map(str, dict.fromkeys(found)))}"
        for name, found in batches.items()
    )


def show_recommendation(best: Recommendation, limits: Limits) -> None:
    """Print the reasons, a line each."""
    stdout.print()
    if best.best is None:
        title = "No recommendation"
    else:
        cameras = f"{best.cameras} camera{'' if best.cameras == 1 else 's'}"
        title = f"Recommended: {best.best} for {cameras} at {limits.camera_fps:g} fps"
    stdout.print(title, style="bold", markup=False, soft_wrap=True)
    for reason in best.reasons:
        stdout.print(f"  {reason}", markup=False, soft_wrap=True)


def _figures(result: CellResult) -> list[str]:
    whole, alone, accuracy = result.pipeline_ms, result.engine_ms, result.accuracy
    memory = None if result.memory_bytes is None else result.memory_bytes / 2**20
    return [
        _number(accuracy and accuracy.map50_95, 4),
        _number(whole and whole.p50, 1),
        _number(whole and whole.p95, 1),
        _number(result.pipeline_fps, 1),
        _number(alone and alone.p50, 1),
        _number(result.cpu_share, 1),
        _number(memory, 0),
    ]


def _number(value: object, places: int) -> str:
    return f"{value:.{places}f}" if isinstance(value, int | float) else "-"


def _style(result: CellResult, best: Cell | None) -> str:
    if result.state != "done":
        return "dim"
    return "bold" if result.cell == best else ""
