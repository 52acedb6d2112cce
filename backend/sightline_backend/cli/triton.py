"""`sightline triton`: what a Triton server has, serves and is told to."""

from __future__ import annotations

import typer

from sightline_backend.cli.triton_bench import bench, sweep
from sightline_backend.cli.triton_changing import deploy, load, remove, rollback, unload
from sightline_backend.cli.triton_export import export
from sightline_backend.cli.triton_looking import list_deployments, stats, status
from sightline_backend.cli.triton_predict import predict
from sightline_backend.cli.triton_serve import serve

triton = typer.Typer(help="Deploy models to NVIDIA Triton, and look at it.", no_args_is_help=True)
triton.command()(status)
triton.command("list")(list_deployments)
triton.command()(stats)
for change in (deploy, rollback, remove, load, unload):
    triton.command()(change)
triton.command()(predict)
triton.command()(bench)
triton.command()(sweep)
triton.command()(export)
triton.command()(serve)
