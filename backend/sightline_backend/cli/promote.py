"""`sightline models promote`, `rollback` and `shadow`: what a running server serves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from sightline_backend.cli.console import stdout
from sightline_backend.cli.server_call import call

Name = Annotated[str, typer.Argument(help="The model's name.")]
Url = Annotated[
    str | None,
    typer.Option(help="The running server, such as http://host:8000; this machine's if not given."),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--backend-port",
        envvar="BACKEND_PORT",
        min=1,
        max=65535,
        help="This machine's server's; SIGHTLINE_PORT if not given, else 8000.",
    ),
]
ArtefactId = Annotated[
    int, typer.Option("--artefact", min=1, help="Its number (`sightline models show NAME`).")
]
RunsOn = Annotated[
    Literal["auto", "onnxruntime", "openvino", "tensorrt", "triton"] | None,
    typer.Option(help="What runs it; the server's own setting if not given."),
]


def promote(  # noqa: PLR0913, PLR0917  each is an option of the command
    name: Name,
    artefact: ArtefactId,
    engine: RunsOn = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it loses more accuracy than is allowed.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; required with --force.")] = "",
    url: Url = None,
    backend_port: Port = None,
) -> None:
    """Have an artefact serve a model's name on a running server, without losing a frame."""
    asked = {"artefact_id": artefact, "engine": engine or "", "force": force, "reason": reason}
    change = call("POST", _base(url, backend_port), f"/api/models/{name}/promote", asked)
    _say_change(change, f" {_accuracy(change['accuracy_loss'])}")


def rollback(name: Name, url: Url = None, backend_port: Port = None) -> None:
    """Have what served before the last promotion serve again."""
    _say_change(call("POST", _base(url, backend_port), f"/api/models/{name}/rollback"))


def shadow(  # noqa: PLR0913, PLR0917  each is an option of the command
    name: Name,
    artefact: Annotated[
        int | None, typer.Option("--artefact", min=1, help="Begin a trial of this one.")
    ] = None,
    engine: RunsOn = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the frames.")] = 0.1,
    seconds: Annotated[float | None, typer.Option(help="Until ended if not given.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End the trial that runs.")] = False,
    url: Url = None,
    backend_port: Port = None,
) -> None:
    """Try an artefact on a share of a model's frames, or say what the newest trial found."""
    base, path = _base(url, backend_port), f"/api/models/{name}/shadow"
    if end:
        report = call("DELETE", base, path)
    elif artefact is not None:
        asked: dict[str, Any] = {"artefact_id": artefact, "engine": engine or "", "share": share}
        report = call("POST", base, path, {**asked, "seconds": seconds})
    else:
        report = call("GET", base, path)
    _say_report(report)


def _base(url: str | None, port: int | None) -> str:
    """Return the running server's address."""
    from sightline_backend.cli.configuration import read_settings

    return url or f"http://127.0.0.1:{read_settings(port=port).port}"


def _say_change(change: dict[str, Any], accuracy: str = "") -> None:
    served = change["served"]
    stdout.print(
        f"{change['model']}: artefact {change['artefact_id']} serves, {served['precision']} on "
        f"{served['engine']} ({served['device']}), after {change['seconds']:.1f} s.{accuracy}",
        markup=False,
    )


def _accuracy(loss: float | None) -> str:
    """Say what a change costs; below 0 is a gain."""
    if loss is None:
        return "What it loses in accuracy isn't known: not both were measured on one data set."
    if abs(loss) < 0.00005:  # 0.0000 as it is written
        return "It loses no accuracy against what served before."
    verb = "loses" if loss > 0 else "gains"
    return f"It {verb} {abs(loss):.4f} mAP50-95 against what served before."


def _say_report(report: dict[str, Any]) -> None:
    state = "runs" if report["running"] else "has ended"
    lines = [
        f"The trial of artefact {report['artefact_id']} beside {report['model']} {state}: "
        f"{report['compared']} frames in {report['seconds']:.0f} s, {report['skipped']} left out, "
        f"{report['failed']} failed."
    ]
    if report["agreeing"] is not None:
        iou = "" if report["mean_iou"] is None else f", mean IoU {report['mean_iou']:.3f}"
        lines.append(f"{report['agreeing']:.1%} of the boxes agree{iou}.")
    for title, key in (("Missed", "only_serving"), ("Found besides", "only_candidate")):
        if report[key]:
            lines.append(f"{title}: " + ", ".join(f"{n} {c}" for c, n in report[key].items()) + ".")
    if report["infer_times"] is not None:
        infer = report["infer_ms"]
        lines.append(
            f"Engine: {infer['candidate']['p50']:.1f} ms against {infer['serving']['p50']:.1f} ms "
            f"(p95 {infer['candidate']['p95']:.1f} against {infer['serving']['p95']:.1f})."
        )
    stdout.print("\n".join(lines), markup=False)
