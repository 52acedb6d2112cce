"""Command line: label, train, export, evaluate and publish the model that ships."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline_training.publish import NAME, publish
from sightline_training.report import report
from sightline_training.teachers import label_sets

ASSETS = Path(__file__).resolve().parent.parent / "sightline_engines" / "assets"
CONFIDENCE = 0.5  # of the shipped model; how it was chosen: docs/model.md


def parser() -> argparse.ArgumentParser:
    """Build the parser of the commands."""
    root = argparse.ArgumentParser(prog="sightline_training", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    for name in ("label", "train", "export", "evaluate", "publish"):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, default=Path("../shared/data"))
        command.add_argument("--output", type=Path, default=Path("runs/default"))
        if name in ("label", "train"):
            command.add_argument("--init", type=Path, help="YOLOX-Nano ONNX; else the data's")
        if name in ("train", "export"):
            command.add_argument("--size", type=int, default=416, help="input side of the ONNX")
        if name in ("evaluate", "publish"):
            command.add_argument("--model", type=Path)
            command.add_argument("--conf", type=float, default=CONFIDENCE)
        if name == "train":
            command.add_argument("--steps", type=int, default=5400)
            command.add_argument("--rate", type=float, default=2e-3)
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--threads", type=int, default=2)
    return root


def label(arguments: argparse.Namespace) -> Path:
    """Make the labels the sets lack, unless they lie there already."""
    path: Path = arguments.output / "labels.json"
    if not path.exists():
        weights = arguments.data / "weights"
        person = arguments.init or weights / "yolox_nano.onnx"
        label_sets(arguments.data, person, weights / "version-RFB-320.onnx", path)
    return path


def train(arguments: argparse.Namespace) -> None:
    """Start, or go on from the output folder's checkpoint."""
    import torch

    from sightline_training.batches import Material, Recipe
    from sightline_training.samples import load
    from sightline_training.teachers import read_labels
    from sightline_training.train import CHECKPOINT, Plan, Trainer, run
    from sightline_training.weights import initial

    torch.set_num_threads(arguments.threads)
    labels = label(arguments)
    faces, coco = (
        load(arguments.data, name, read_labels(labels, name), held=False)
        for name in ("faces", "coco")
    )
    material = Material(faces, coco, Recipe(seed=arguments.seed))
    plan = Plan(steps=arguments.steps, rate=arguments.rate, export_size=arguments.size)
    trainer = Trainer(initial(arguments.init or arguments.data / "weights/yolox_nano.onnx"), plan)
    if (arguments.output / CHECKPOINT).exists():
        trainer.restore(arguments.output / CHECKPOINT)
        print(f"going on from step {trainer.step}", flush=True)
    run(trainer, material, arguments.output, lambda text: print(text, flush=True))


def export_checkpoint(arguments: argparse.Namespace) -> Path:
    """Export the averaged weights of the output folder's checkpoint."""
    from sightline_training.export import export
    from sightline_training.network import Detector
    from sightline_training.train import CHECKPOINT, EXPORTED, Plan, Trainer

    trainer = Trainer(Detector(), Plan())
    trainer.restore(arguments.output / CHECKPOINT)
    path: Path = arguments.output / EXPORTED
    export(trainer.averaged(), arguments.size, path)
    return path


def main() -> None:
    """Run one command."""
    arguments = parser().parse_args()
    match arguments.command:
        case "label":
            print(label(arguments))
        case "train":
            train(arguments)
        case "export":
            print(export_checkpoint(arguments))
        case "evaluate":
            shipped = ASSETS / f"{NAME}.onnx"
            print(report(arguments.model or shipped, arguments.data, arguments.conf))
        case "publish":
            exported = arguments.model or arguments.output / "latest.onnx"
            print(publish(exported, ASSETS, arguments.conf))


if __name__ == "__main__":
    main()
