"""The books of a run: what was offered, and how each frame ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.load.report import LoadReport, Window, ages_of
from benchmarks.load.schedule import stream_of

WINDOW_S = 10.0


@dataclass(slots=True)
class Account:
    """Ends every frame once; times are `time.monotonic()` seconds.

    Frames due before `from_s` warm the server up: their answers are checked like all others,
    but they are in no figure except `answered_ever`, `jpeg_bytes` and `wire_bytes`.
    """

    rates: Sequence[float]
    deadline_s: float
    from_s: float = 0.0
    offered: int = 0
    answered_ever: int = 0
    wrong_stream: int = 0
    wrong_seq: int = 0
    jpeg_bytes: int = 0
    wire_bytes: int = 0
    closed: int = 0  # connections that the other side ended
    sample: str = ""  # the first answer
    refused: Counter[str] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)  # errors that name no frame
    dropped: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    offered_by: Counter[int] = field(default_factory=Counter)
    waiting: dict[int, float] = field(default_factory=dict)  # due time by sequence number
    answers: list[tuple[int, float, float]] = field(default_factory=list)  # stream, due, age

    def offer(self, seq: int, due_s: float) -> None:
        """Note a frame that is due; it waits for its end from now on."""
        if seq in self.waiting:
            raise ValueError(f"frame {seq} is offered twice")
        self.waiting[seq] = due_s
        if due_s >= self.from_s:
            self.offered += 1
            self.offered_by[stream_of(seq)] += 1

    def answer(self, stream: int, seq: int, now_s: float) -> None:
        """End a frame with its answer, which came over the connection of `stream`."""
        due_s = self._end(stream, seq)
        if due_s is None:
            return
        self.answered_ever += 1
        if due_s >= self.from_s:
            self.answers.append((stream, due_s, now_s - due_s))

    def drop(self, stream: int, seq: int, reason: str) -> None:
        """End a frame that was not run."""
        due_s = self._end(stream, seq)
        if due_s is not None and due_s >= self.from_s:
            self.dropped[reason] += 1

    def fail(self, stream: int, seq: int, code: str) -> None:
        """End a frame with an error."""
        due_s = self._end(stream, seq)
        if due_s is not None and due_s >= self.from_s:
            self.errors[code] += 1

    def fail_all(self, stream: int, code: str) -> None:
        """End every waiting frame of a stream, whose connection broke."""
        for seq in [seq for seq in self.waiting if stream_of(seq) == stream]:
            self.fail(stream, seq, code)

    def misread(self, stream: int, seq: int) -> None:
        """Count an answer that is not to a frame of this connection's own."""
        if stream_of(seq) != stream and 0 <= stream_of(seq) < len(self.rates):
            self.wrong_stream += 1
        else:
            self.wrong_seq += 1

    def close(self, start_s: float, seconds: float, generator_cpu_s: float = 0.0) -> LoadReport:
        """Count what still waits as lost and return the figures of the run."""
        lost = sum(due_s >= self.from_s for due_s in self.waiting.values())
        self.waiting.clear()
        in_time = [row for row in self.answers if row[2] <= self.deadline_s]
        by_stream = Counter(stream for stream, _, _ in in_time)
        ages = [age for _, _, age in self.answers]
        return LoadReport(
            seconds=seconds,
            deadline_ms=self.deadline_s * 1e3,
            rates=tuple(self.rates),
            start_s=start_s,
            offered=self.offered,
            answered=len(self.answers),
            in_time=len(in_time),
            dropped=dict(self.dropped),
            errors=dict(self.errors),
            lost=lost,
            wrong_stream=self.wrong_stream,
            wrong_seq=self.wrong_seq,
            age_ms=ages_of(ages),
            offered_by_stream=tuple(self.offered_by[i] for i in range(len(self.rates))),
            in_time_by_stream=tuple(by_stream[i] for i in range(len(self.rates))),
            windows=self._windows(seconds),
            answered_ever=self.answered_ever,
            jpeg_bytes=self.jpeg_bytes,
            wire_bytes=self.wire_bytes,
            refused=dict(self.refused),
            closed=self.closed,
            notices=dict(self.notices),
            generator_cpu_s=generator_cpu_s,
            sample=self.sample,
        )

    def _end(self, stream: int, seq: int) -> float | None:
        """Take a frame out of the waiting ones; None, and counted, if it isn't one of them."""
        if stream_of(seq) != stream or seq not in self.waiting:
            self.misread(stream, seq)
            return None
        return self.waiting.pop(seq)

    def _windows(self, seconds: float) -> tuple[Window, ...]:
        """Sort the answers into windows by when their frames were due."""
        rows: dict[int, list[float]] = {}
        for _, due_s, age in self.answers:
            rows.setdefault(int((due_s - self.from_s) // WINDOW_S), []).append(age)
        return tuple(
            Window(index * WINDOW_S, sum(age <= self.deadline_s for age in ages), ages_of(ages))
            for index, ages in sorted(rows.items())
            if (index + 1) * WINDOW_S <= seconds + 1e-6 or not index
        )
