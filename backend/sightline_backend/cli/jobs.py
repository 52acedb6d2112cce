"""`sightline jobs`: what runs, ran, and failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr, stdout

if TYPE_CHECKING:
    import httpx

    from sightline_backend.jobs.here import OnEvent
    from sightline_backend.jobs.job import Job
    from sightline_backend.jobs.records import JobRecords

jobs = typer.Typer(help="List, watch, cancel and restart jobs.", no_args_is_help=True)
Id = Annotated[int, typer.Argument(help="A job's number (`sightline jobs list`).")]


@jobs.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most that are shown.")] = 20,
) -> None:
    """Show the newest jobs, and below each those that it started."""
    from rich.table import Table
    from rich.text import Text

    table = Table("Job", "State", "Progress", "Title", "", box=None)
    with plain_errors():
        found = _records().jobs(limit=limit)
    for tree in found:
        for job in (tree, *tree.children):
            title = ("  " if job.parent_id else "") + job.title
            said = (job.error or {}).get("message", job.doing)
            row = (str(job.id), job.state, f"{job.progress:.0%}", title, str(said))
            table.add_row(*map(Text, row))
    stdout.print(table)


@jobs.command()
def show(job_id: Id) -> None:
    """Write a job with its children as JSON: what was asked for, and what came of it."""
    import json

    with plain_errors():
        print(json.dumps(_records().job(job_id).to_dict(), indent=2, ensure_ascii=False))


@jobs.command("log")
def show_log(job_id: Id) -> None:
    """Write a job's log."""
    with plain_errors():
        records = _records()
        log = records.log(job_id)
        print(log, end="")
        if not log:
            steps = ", ".join(str(child.id) for child in records.job(job_id).children)
            its = f" Its steps are jobs {steps}: each has a log." if steps else ""
            stderr.print(f"Job {job_id} wrote nothing.{its}", soft_wrap=True)


@jobs.command()
def watch(
    job_id: Id,
    url: Annotated[
        str | None, typer.Option(help="Of a running server; the local store if not given.")
    ] = None,
) -> None:
    """Show how a job goes on until it has ended."""
    from sightline_backend.cli.job_runs import show as show_run

    def run(on_event: OnEvent) -> Job:
        return _watched(job_id, on_event) if url is None else _watched_at(url, job_id, on_event)

    show_run(run)


@jobs.command()
def cancel(job_id: Id) -> None:
    """End a job and what it started; a server that runs it does so within seconds."""
    with plain_errors():
        job = _records().cancel(job_id)
    stderr.print(f"{job.title} is cancelled.", markup=False, soft_wrap=True)


@jobs.command()
def restart(job_id: Id) -> None:
    """Run a job again, here, that failed or was stopped; a pipeline keeps what it has."""
    from sightline_backend.cli.configuration import read_settings, store
    from sightline_backend.cli.job_runs import show as show_run
    from sightline_backend.jobs.here import restart_here
    from sightline_backend.jobs.settings import job_settings

    settings = job_settings(read_settings())
    show_run(lambda on_event: restart_here(store(), job_id, on_event, settings))


@jobs.command()
def clear(
    job_ids: Annotated[
        list[int] | None, typer.Argument(help="Jobs; if none, all that ended and aren't kept.")
    ] = None,
    measured: Annotated[
        bool, typer.Option("--measured", help="Also the runs that the page Benchmark shows.")
    ] = False,
) -> None:
    """Forget jobs that have ended, with their logs; the models that they made stay.

    Runs that measured something are kept unless they are named or --measured is given.
    """
    with plain_errors():
        records = _records()
        chosen = job_ids or records.ended(measured=measured)
        gone = sum(records.remove(job_id) for job_id in chosen)
        kept = 0 if job_ids else len(records.ended(measured=True))
    stderr.print("1 job is forgotten." if gone == 1 else f"{gone} jobs are forgotten.")
    if kept:
        runs = "1 run that measured is" if kept == 1 else f"{kept} runs that measured are"
        stderr.print(f"{runs} kept for the page Benchmark; --measured forgets them, too.")


def _records() -> JobRecords:
    from sightline_backend.cli.configuration import store
    from sightline_backend.jobs.records import JobRecords

    return JobRecords(store().database)


def _watched(job_id: int, on_event: OnEvent) -> Job:
    """Follow a job of whichever process by looking into the store."""
    import asyncio
    from contextlib import aclosing

    from sightline_backend.jobs.follow import follow, hub_of

    records = _records()

    async def run() -> Job:
        hub = hub_of(records, asyncio.to_thread)
        async with aclosing(follow(hub, records, asyncio.to_thread, job_id)) as states:
            async for job in states:
                on_event(job)
        return records.job(job_id)

    return asyncio.run(run())


def _watched_at(url: str, job_id: int, on_event: OnEvent) -> Job:
    """Follow a job of a running server by the events that it sends."""
    from dataclasses import replace

    import httpx
    from httpx_sse import SSEError, connect_sse

    from sightline_backend.jobs.job import job_of

    last = None
    address = f"{url.rstrip('/')}/api/jobs/{job_id}"
    try:
        with (
            httpx.Client(timeout=httpx.Timeout(10, read=60)) as http,
            connect_sse(http, "GET", f"{address}/events") as source,
        ):
            if source.response.status_code != 200:
                source.response.read()
                fail(_refusal(source.response))
            for sent in source.iter_sse():
                job = job_of(sent.json())
                on_event(job)
                last = job if job.id == job_id else last
            answer = http.get(address)  # events have no result
            if answer.status_code != 200:
                fail(_refusal(answer))
            result = answer.json()["result"]
    except (httpx.HTTPError, SSEError) as error:
        fail(f"{url} doesn't answer as a Sightline server does: {error}.")
    if last is None or not last.ended:
        fail(f"{url} stopped telling of job {job_id}: is the server being stopped?")
    return replace(last, result=result)


def _refusal(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered with status {response.status_code}."
