"""Training learns, and goes on from a checkpoint as if it had never stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from sightline_training.batches import Material, Recipe, make_batch, stream  # noqa: E402
from sightline_training.network import Detector  # noqa: E402
from sightline_training.train import CHECKPOINT, EXPORTED, Plan, Trainer, run  # noqa: E402
from tests.training.rendered import FACE, PERSON, rendered  # noqa: E402

RECIPE = Recipe(batch=4, sizes=(64, 96))
PLAN = Plan(steps=4, rate=2e-3, warm_up=1, export_size=64)


@pytest.fixture
def material() -> Material:
    faces = [rendered(seed, FACE) for seed in range(4)]
    return Material(faces, [rendered(seed, PERSON) for seed in range(10, 14)], RECIPE)


def trainer(plan: Plan) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Detector(width=16), plan)


def test_steps_on_one_batch_lower_its_loss(material: Material) -> None:
    batch = make_batch(material, 0, calm=True)
    learner = trainer(replace(PLAN, steps=20))
    losses = [float(learner.learn(batch).sum()) for _ in range(4)]
    assert losses[2] < losses[0]
    assert losses[3] < losses[1]


def test_resumed_training_continues_exactly(material: Material, tmp_path: Path) -> None:
    straight = trainer(PLAN)
    said: list[str] = []
    run(straight, material, tmp_path / "straight", said.append)
    first = trainer(PLAN)
    for batch in stream(material, range(2), PLAN.calm_from):
        first.learn(batch)
    first.save(tmp_path / CHECKPOINT)
    second = trainer(PLAN)
    second.restore(tmp_path / CHECKPOINT)
    assert second.step == 2
    run(second, material, tmp_path / "resumed", said.append)
    for name, value in straight.average.items():
        torch.testing.assert_close(second.average[name], value, rtol=0, atol=0)
    assert (tmp_path / "resumed" / EXPORTED).stat().st_size > 1_000_000


def test_batches_depend_on_their_number_alone(material: Material) -> None:
    one, again = make_batch(material, 7, calm=False), make_batch(material, 7, calm=False)
    assert torch.equal(one.images, again.images)
    assert all(torch.equal(a, b) for a, b in zip(one.boxes, again.boxes, strict=True))
    other = make_batch(material, 8, calm=False)
    assert one.images.shape != other.images.shape or not torch.equal(one.images, other.images)


def test_rate_rises_then_falls() -> None:
    plan = Plan(steps=100, warm_up=10, rate=1.0)
    rates = [plan.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.03
