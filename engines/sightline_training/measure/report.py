"""Report: the shipped file beside its INT8 version and its teachers, on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sightline_engines.postprocess import DetectOptions
from sightline_training.detectors import through_onnxruntime
from sightline_training.measure import heldout, onclips
from sightline_training.measure.aims import Verdict, judge, verdict_table
from sightline_training.measure.alarms import Alarms, alarm_list, alarm_table, count
from sightline_training.measure.candidates import (
    NANO,
    OVERLAP,
    UNKNOWN,
    Candidate,
    Entry,
    declared,
    int8_of,
    listed,
)
from sightline_training.measure.material import require
from sightline_training.measure.threshold import choose, score
from sightline_training.measure.timing import end_to_end_ms, pictures_a_second
from sightline_training.samples import read_picture

LEGEND = """\
AP50 tall: boxes over a tenth of the picture's height; AP50 small: the others.
ms: letterbox, network, decoding and suppression of one picture; pictures/s: the network alone. Both
medians, one picture at a time through OpenVINO at its default precision on two threads, all files
in turns. All other figures through ONNX Runtime."""


def enter(candidate: Candidate, data: Path, confidence: float | None) -> Entry:
    """Open a candidate and settle its threshold: the one asked for, declared, or by the rule."""
    options, origin = declared(candidate.path), "by its sidecar"
    if candidate.own and confidence is not None:
        options = replace(options or DetectOptions(confidence, OVERLAP), conf=confidence)
        origin = "as asked for"
    elif options is None and candidate.own:
        options, origin = DetectOptions(UNKNOWN, OVERLAP), "no sidecar names one"
    elif options is None:
        options, origin = DetectOptions(choose(score(candidate, data)), OVERLAP), "by our rule"
    return Entry(candidate, options, origin, candidate.open(through_onnxruntime))


def evaluate(
    model: Path,
    data: Path,
    say: Callable[[str], None],
    confidence: float | None = None,
    empty: Sequence[Path] = (),
) -> list[Verdict]:
    """Measure everything, say it part by part, and return what became of the aims.

    `empty` are the user's own pictures without people, of one folder.

    Raises:
        FileNotFoundError: material is missing; nothing was measured.
    """
    candidates = listed(model, data)
    clips_used = (*onclips.STEADY, onclips.WALKING, onclips.CARS)
    require([*(c.path for c in candidates), *(data / "video" / clip for clip in clips_used)], data)
    entries = [enter(candidate, data, confidence) for candidate in candidates]
    names = [candidate.name for candidate in candidates]
    held = heldout.measure(entries, data)
    a_second = dict(zip(names, pictures_a_second([c.path for c in candidates]), strict=True))
    ms = dict(zip(names, end_to_end_ms(entries, held.pictures), strict=True))
    loss = heldout.loss(held, model.stem, int8_of(model).stem)
    say(heldout.main_table(held, ms, a_second) + "\n\n" + LEGEND)
    say(loss_line(loss) + "\n\n" + heldout.threshold_table(held, entries))
    clips = onclips.measure(entries, names.index(NANO), data)
    alarms = {name: [held.alarms[name], *clips.alarms[name]] for name in names}
    for entry in entries if empty else ():
        alarms[entry.candidate.name].append(own_alarms(entry, empty))
    named = {c.name: alarms[c.name] for c in candidates if c.own}
    say(alarm_table(alarms) + "\n\n" + alarm_list(named))
    say(onclips.steady_table(clips))

    name = model.stem
    verdicts = [
        *heldout.verdicts(held, name),
        judge("size", model.stat().st_size / 1e6),
        judge("speed", a_second[name]),
        judge("int8 loss", max(loss.values()) if loss else None),
        *clips.verdicts(name),
        *alarm_verdicts(alarms[name]),
    ]
    say(verdict_table(verdicts))
    return verdicts


def own_alarms(entry: Entry, files: Sequence[Path]) -> Alarms:
    """Count in the user's pictures without people."""
    found = ((file.name, entry.look(read_picture(file))) for file in files)
    return count(str(files[0].parent), found)


def loss_line(loss: Mapping[str, float]) -> str:
    """Say what the INT8 file loses by class."""
    if not loss:
        return "There is no INT8 file beside this one."
    lost = ", ".join(f"{name} {value:+.3f}" for name, value in loss.items())
    return f"AP50 lost by the INT8 file: {lost}."


def alarm_verdicts(alarms: Sequence[Alarms]) -> list[Verdict]:
    """Hold false alarms against the aim, but for the cars': some drivers can be made out."""
    return [judge("alarms", a.per_hundred, a.where) for a in alarms if a.where != onclips.CARS]
