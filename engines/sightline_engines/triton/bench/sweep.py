"""Try settings of a model on a running Triton, and leave it with the best one."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from sightline_engines.errors import EngineAwayError, ProviderError, SightlineError
from sightline_engines.progress import Progress, part, quiet
from sightline_engines.triton.bench.choice import Choice, Limit, Tried, choose
from sightline_engines.triton.bench.measure import measure
from sightline_engines.triton.bench.options import BenchOptions
from sightline_engines.triton.bench.setting import Setting, apply, setting_of
from sightline_engines.triton.bench.trial import ReplacedError, Trial
from sightline_engines.triton.client import open_client
from sightline_engines.triton.config import config_text, read_config
from sightline_engines.triton.control import Control
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.parts import CONFIG_FILE
from sightline_engines.triton.repository import Repository


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What is tried: each combination, and what the config says now.

    `bench.model` is any model of the repository, or a stable name of ours: then it is measured
    through that name, and the settings are those of the network behind it.
    """

    repository: Path
    bench: BenchOptions
    limit: Limit
    instances: tuple[int, ...] = (1, 2)
    preferred_batch_sizes: tuple[tuple[int, ...], ...] = ((),)
    max_queue_delays_us: tuple[int, ...] = (0,)
    write: bool = True  # the best one into the config; else what was there comes back

    def __post_init__(self) -> None:
        if any(count < 1 for count in self.instances) or not self.instances:
            raise ValueError("instances to try must be 1 at least each")
        if any(delay < 0 for delay in self.max_queue_delays_us):
            raise ValueError("a queue delay can't be negative")

    def settings(self, present: Setting) -> list[Setting]:
        """Return what to try, the present setting first, none twice."""
        asked = product(self.instances, self.preferred_batch_sizes, self.max_queue_delays_us)
        return list(dict.fromkeys((present, *(Setting(*one) for one in asked))))


@dataclass(frozen=True, slots=True)
class Swept:
    """What was tried, and what became of it."""

    model: str  # that was measured
    configured: str  # whose config was changed
    present: Setting  # before
    tried: tuple[Tried, ...]
    choice: Choice
    written: bool  # whether the config has the best now, where that differs
    complete: bool  # False: stopped before all was tried; nothing was written then
    recovered: bool = False  # an earlier sweep was killed, and the config put back first

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return asdict(self)


def sweep(
    options: SweepOptions, progress: Progress = quiet, stop: threading.Event | None = None
) -> Swept:
    """Measure each setting, then write the best one and load it.

    What was there comes back on any failure, on `stop` and on Ctrl-C; after a kill that leaves no
    time for it, when the model is swept again. Raises ProviderError where the model can't be
    swept or is replaced meanwhile, EngineAwayError where the server goes away.
    """
    stop = stop or threading.Event()
    repository = Repository(options.repository)
    deployment = _deployment(repository, options.bench.model)
    name = deployment.detector if deployment else options.bench.model
    with open_client(options.bench.triton()) as client:
        serves = partial(_serves, repository, name, deployment)
        trial = Trial(repository, Control(client, repository), name, serves)
        with trial.held() as old:
            config = _config(name, old)
            present = setting_of(config)
            texts = {
                one: config_text(apply(config, one, name)) for one in options.settings(present)
            }
            texts[present] = old  # as it was written, comments and all
            tried = _try_all(texts, trial, options, progress, stop)
            trial.check()
            choice = choose(tried, present, options.limit)
            complete = len(tried) == len(texts) and not stop.is_set()
            if complete and options.write and choice.best and choice.best != present:
                trial.keep(texts[choice.best], _described(deployment, choice.best))
    return Swept(
        *(options.bench.model, name, present, tuple(tried), choice, trial.kept, complete),
        recovered=trial.recovered,
    )


def _try_all(
    texts: dict[Setting, str],
    trial: Trial,
    options: SweepOptions,
    progress: Progress,
    stop: threading.Event,
) -> list[Tried]:
    tried: list[Tried] = []
    for setting, text in texts.items():
        if stop.is_set():
            break

        def tell(share: float, doing: str, setting: Setting = setting) -> None:
            step = part(progress, len(tried) / len(texts), (len(tried) + 1) / len(texts))
            step(share, f"{len(tried) + 1} of {len(texts)}, {setting}: {doing}")

        try:
            tell(0.0, "loading")
            trial.put(text)
            measured = measure(options.bench, tell, stop)
        except (EngineAwayError, ReplacedError):
            raise
        except SightlineError as error:
            tried.append(Tried(setting, None, error.message))
            continue
        if stop.is_set():
            break
        tried.append(Tried(setting, measured, "" if measured.complete else measured.remark))
    return tried


def _deployment(repository: Repository, model: str) -> Deployment | None:
    """Return the deployment behind a stable name of ours, or that a network's own name is of."""
    found = Deployments(repository)
    for one in found.all():
        if model == one.detector or (model in one.stable and found.active(one.model) == one):
            return one
    return None


def _serves(repository: Repository, name: str, deployment: Deployment | None) -> bool:
    """Tell whether what is swept is there, and not put aside for a newer deployment."""
    if not repository.folder_of(name).is_dir():
        return False
    if deployment is None:
        return True
    active = Deployments(repository).active(deployment.model)
    return active is not None and active.number == deployment.number


def _config(name: str, text: str) -> Any:
    try:
        config = read_config(text)
    except ValueError as error:
        raise ProviderError(f"{name}/{CONFIG_FILE} can't be read: {error}") from error
    if config.HasField("ensemble_scheduling"):
        steps = ", ".join(dict.fromkeys(one.model_name for one in config.ensemble_scheduling.step))
        raise ProviderError(
            f"{name} is an ensemble, which has no instances. Sweep one of: {steps}."
        )
    return config


def _described(deployment: Deployment | None, best: Setting) -> str | None:
    """Return a deployment's description with a setting."""
    if deployment is None:
        return None
    config = replace(
        deployment.config,
        instance_count=best.instances,
        preferred_batch_sizes=best.preferred_batch_sizes,
        max_queue_delay_us=best.max_queue_delay_us,
    )
    return json.dumps(replace(deployment, config=config).to_dict(), indent=2) + "\n"
