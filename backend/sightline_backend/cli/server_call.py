"""One call of a running Sightline server's API, with the password that is set."""

from __future__ import annotations

from typing import Any

from sightline_backend.cli.console import fail

PATIENCE_S = 1800.0  # a TensorRT plan may take minutes to load


def call(method: str, base: str, path: str, asked: dict[str, Any] | None = None) -> Any:
    """Call the server and return its answer; ends the program with its sentence on an error."""
    import httpx

    from sightline_backend.cli.configuration import read_settings

    token = read_settings().admin_token
    headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    try:
        with httpx.Client(base_url=base, timeout=PATIENCE_S, trust_env=False) as client:
            answer = client.request(method, path, json=asked, headers=headers)
        body = answer.json() if answer.content else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        fail(
            f"No Sightline server answers at {base}: {error or type(error).__name__}. Start one "
            "(`sightline up`), or say where it is: --url http://host:8000, or BACKEND_PORT=9600."
        )
    if answer.is_error:
        said = body.get("error", {}) if isinstance(body, dict) else {}
        fail(said.get("message", f"The server answered with status {answer.status_code}."))
    return body
