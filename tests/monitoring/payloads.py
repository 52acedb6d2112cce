"""What each service takes: a check of a request's JSON that answers as the service does.

Slack: incoming webhooks (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
legacy attachments). Teams: the trigger "When a Teams webhook request is received" of Workflows,
which takes a message with Adaptive Cards. Webhooks: version 4 of Alertmanager's own format.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

Answer = tuple[int, str]  # status and body
Json = dict[str, Any]

MOST_SLACK_TEXT = 40_000  # characters
MOST_TEAMS_BYTES = 28 * 1024


def slack(body: Json, size: int) -> Answer:
    """Check a message for an incoming webhook of Slack."""
    allowed = {"channel", "username", "icon_emoji", "icon_url", "link_names", "text", "attachments"}
    assert body.keys() <= allowed, f"Slack knows no {body.keys() - allowed}"
    assert body.get("text") or body.get("attachments"), "no_text"
    for attachment in body.get("attachments", ()):
        assert attachment["fallback"], "an attachment needs a fallback"
        assert attachment["text"], "an attachment without a text"
        assert len(attachment["text"]) <= MOST_SLACK_TEXT
        assert re.fullmatch("good|warning|danger|#[0-9a-fA-F]{6}", attachment["color"])
        assert set(attachment.get("mrkdwn_in", ())) <= {"fallback", "pretext", "text", "fields"}
        _slack_markup(attachment["text"])
    return 200, "ok"


def _slack_markup(text: str) -> None:
    """A < begins a link that a > ends; a bare one, or a bare &, has to be escaped."""
    bare = re.sub(r"<https?://[^<>|\s]+(\|[^<>|]+)?>", "", text)
    assert "<" not in bare, f"a < that begins no link: {bare}"
    assert ">" not in bare, f"a > that ends no link: {bare}"
    assert not re.search(r"&(?!amp;|lt;|gt;)", bare), f"a bare &: {bare}"


def teams(body: Json, size: int) -> Answer:
    """Check a message for a Workflows webhook of Teams."""
    assert size <= MOST_TEAMS_BYTES, f"{size} bytes are more than Teams takes"
    assert body.keys() == {"type", "attachments"}
    assert body["type"] == "message"
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment.get("contentUrl") is None
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    assert card["$schema"].endswith("adaptivecards.io/schemas/adaptive-card.json")
    assert tuple(map(int, card["version"].split("."))) <= (1, 5)
    assert card["body"], "a card without a body"
    for block in card["body"]:
        assert block["type"] == "TextBlock"
        assert block["text"].strip(), "a block without text"
        assert block.get("wrap"), "a block that cuts its text off"
    return 202, ""


def webhook(body: Json, size: int) -> Answer:
    """Check a message in Alertmanager's own format."""
    assert body["version"] == "4"
    assert body["groupKey"]
    assert body["receiver"]
    assert body["status"] in ("firing", "resolved")
    for name in ("groupLabels", "commonLabels", "commonAnnotations"):
        assert all(isinstance(text, str) for text in body[name].values()), name
    assert body["externalURL"].startswith("http")
    assert body["truncatedAlerts"] == 0
    assert body["alerts"], "a message about nothing"
    for alert in body["alerts"]:
        assert alert["status"] in ("firing", "resolved")
        assert alert["labels"]["alertname"]
        assert re.fullmatch("[0-9a-f]{16}", alert["fingerprint"])
        assert datetime.fromisoformat(alert["startsAt"]).tzinfo is not None
        assert datetime.fromisoformat(alert["endsAt"]).tzinfo is not None
    return 200, ""


CHECKS: dict[str, Callable[[Json, int], Answer]] = {
    "slack": slack,
    "teams": teams,
    "webhook": webhook,
    "watchdog": webhook,
}
