"""A page with a played detector behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamlit.testing.v1 import AppTest

from sightline_frontend.backend import Backend
from sightline_frontend.job_feed import JobFeed
from tests.frontend.fake_api import FakeApi


def models_script(backend: object, feed: object) -> None:
    from typing import Any, cast

    from sightline_frontend.views import models

    models.show(cast(Any, backend), cast(Any, feed))


def benchmark_script(backend: object, feed: object) -> None:
    from typing import Any, cast

    from sightline_frontend.views import benchmark

    benchmark.show(cast(Any, backend), cast(Any, feed))


def deploy_script(backend: object, feed: object) -> None:
    from typing import Any, cast

    from sightline_frontend.views import deploy

    deploy.show(cast(Any, backend))


@contextmanager
def opened(
    script: Callable[..., None], fake: FakeApi, token: str | None = None
) -> Iterator[AppTest]:
    """Run a page until the block ends; its feed has read what there is."""
    backend = Backend(fake.url, 5, token)
    feed = JobFeed(backend, again_s=0.05).start()
    end_s = time.monotonic() + 5
    while not feed.open and time.monotonic() < end_s:
        time.sleep(0.02)
    kwargs = {"backend": backend, "feed": feed}
    try:
        app = AppTest.from_function(script, default_timeout=30, kwargs=kwargs).run()
        assert not app.exception
        yield app
    finally:
        feed.close(wait_s=0)
        fake.cut()
        feed.close()
        backend.close()


def words(app: AppTest) -> str:
    """All that a page says."""
    kinds = (app.markdown, app.text, app.caption, app.info, app.error, app.success, app.warning)
    return "\n".join(str(one.value) for kind in kinds for one in kind).replace("\\", "")


def keys(app: AppTest) -> set[str]:
    """Return what the buttons are called."""
    return {str(button.key) for button in app.button}
