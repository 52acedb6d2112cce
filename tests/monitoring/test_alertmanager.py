"""The real Alertmanager, told of alerts, tells people: what arrives, where, how often."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sightline_monitoring.alertmanager.settings import AlertSettings
from tests.monitoring.alertmanager_server import AlertmanagerServer, alertmanager
from tests.monitoring.channels import Everywhere, everywhere
from tests.monitoring.receivers import mail_server, web_server

PAGE = {"alertname": "FramesLateFastBurn", "severity": "page", "part": "live",
        "objective": "frames-in-time"}  # fmt: skip
TICKET = {"alertname": "GpuHot", "severity": "ticket", "part": "gpu", "instance": "a:8000"}
WATCHDOG = {"alertname": "Watchdog", "severity": "none", "part": "monitoring"}
SUMMARY = "FramesLateFastBurn: 312 of 1,000 frames > 500 ms & 4_2 <late>"
FIRING = "PAGE: FramesLateFastBurn (2 of 2 firing)"
ENDED = "RESOLVED: FramesLateFastBurn (0 of 2 firing)"
RUNBOOK = "https://git.example.org/sightline/docs/runbooks/FramesLateFastBurn.md"
DASHBOARD = "https://grafana.example.org/d/sightline-objectives?from="
QUIET_S = 2.5  # more than two rounds of a group


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Everywhere:
    """What came of two alerts of one name that fired and ended; nothing runs any more."""
    alerts = [PAGE | {"instance": "a:8000"}, PAGE | {"instance": "b:8000"}]
    with everywhere(tmp_path_factory.mktemp("story")) as all_of_it:
        for _ in range(3):  # Prometheus tells again and again
            all_of_it.manager.fire(*alerts)
        all_of_it.wait_for(1)
        time.sleep(QUIET_S)
        assert all_of_it.counts() == [1, 1, 1, 1]
        all_of_it.manager.resolve(*alerts)
        all_of_it.wait_for(2)
        time.sleep(QUIET_S)
    return all_of_it


def test_alerts_of_one_name_arrive_as_one_message_and_so_does_their_end(story: Everywhere) -> None:
    assert story.counts() == [2, 2, 2, 2]


def test_a_mail_says_it_in_its_subject_in_text_and_in_html(story: Everywhere) -> None:
    first, last = story.mail.mails
    assert (first.subject, last.subject) == (f"[Sightline] {FIRING}", f"[Sightline] {ENDED}")
    assert (first.sender, first.recipients) == ("sightline@example.org", ("ops@example.org",))
    plain, html = first.body("plain"), first.body("html")
    assert plain.count(SUMMARY) == 2
    assert "instance=a:8000" in plain
    assert "instance=b:8000" in plain
    assert f"Runbook: {RUNBOOK}\n" in plain
    assert f"Dashboard: {DASHBOARD}" in plain
    assert f"Since {datetime.now(UTC):%Y-}" in plain
    assert ", resolved 2" not in plain
    assert ", resolved 2" in last.body("plain")
    assert "&lt;late&gt;" in html
    assert f'<a href="{RUNBOOK}">Runbook</a>' in html
    assert f'<a href="{DASHBOARD}' in html


def test_slack_gets_an_attachment_in_its_own_markup(story: Everywhere) -> None:
    first, last = (post.body["attachments"][0] for post in story.web.to("slack"))
    assert (first["title"], first["color"]) == (FIRING, "danger")
    assert (last["title"], last["color"]) == (ENDED, "good")
    assert "&gt; 500 ms &amp; 4_2 &lt;late&gt;*" in first["text"]
    assert f"<{RUNBOOK}|Runbook>" in first["text"]
    assert f"<{DASHBOARD}" in first["text"]


def test_teams_gets_a_card(story: Everywhere) -> None:
    first, last = (post.body["attachments"][0]["content"] for post in story.web.to("teams"))
    heading, text = first["body"]
    assert (heading["text"], heading["color"]) == (FIRING, "Attention")
    assert (last["body"][0]["text"], last["body"][0]["color"]) == (ENDED, "Good")
    assert r"\> 500 ms & 4\_2 \<late\>**" in text["text"]
    assert f"[Runbook]({RUNBOOK})" in text["text"]
    assert f"[Dashboard]({DASHBOARD}" in text["text"]


def test_a_webhook_gets_what_alertmanager_knows(story: Everywhere) -> None:
    first, last = (post.body for post in story.web.to("webhook"))
    assert (first["status"], last["status"]) == ("firing", "resolved")
    assert first["groupLabels"] == {"alertname": "FramesLateFastBurn", "part": "live"}
    assert [alert["annotations"]["summary"] for alert in first["alerts"]] == [SUMMARY, SUMMARY]


def test_a_runbook_is_named_by_its_path_where_its_address_is_not_known(tmp_path: Path) -> None:
    with everywhere(tmp_path, repository_url=None, grafana_url=None) as all_of_it:
        all_of_it.manager.fire(TICKET)
        all_of_it.wait_for(1)
        (mail,) = all_of_it.mail.mails
        (card,) = (post.body["attachments"][0]["content"] for post in all_of_it.web.to("teams"))
    assert "Runbook: docs/runbooks/GpuHot.md\n" in mail.body("plain")
    assert "Dashboard" not in mail.body("plain")
    assert card["body"][1]["text"].strip().endswith("Runbook: docs/runbooks/GpuHot.md")


def test_the_watchdog_is_heard_at_its_own_receiver_again_and_again_and_nowhere_else(
    tmp_path: Path,
) -> None:
    with everywhere(tmp_path) as all_of_it:
        all_of_it.manager.fire(WATCHDOG)
        beats = all_of_it.web.wait_for("watchdog", 3)
        all_of_it.manager.resolve(WATCHDOG)
        time.sleep(QUIET_S)
        assert all_of_it.counts() == [0, 0, 0, 0]
        assert {post.body["status"] for post in all_of_it.web.to("watchdog")} == {"firing"}
    assert beats[0].body["commonLabels"] == WATCHDOG


def test_pages_and_tickets_go_to_the_channels_chosen_for_them(tmp_path: Path) -> None:
    with everywhere(tmp_path, page_to="email,teams", ticket_to="slack") as all_of_it:
        all_of_it.manager.fire(PAGE | {"instance": "b:8000"})
        all_of_it.manager.fire(TICKET)
        (mail,) = all_of_it.mail.wait_for()
        (slack,) = all_of_it.web.wait_for("slack")
        all_of_it.web.wait_for("teams")
        time.sleep(QUIET_S)
        assert all_of_it.counts() == [1, 1, 1, 0]
    assert mail.subject == "[Sightline] PAGE: FramesLateFastBurn on b:8000"
    assert slack.body["attachments"][0]["title"] == "TICKET: GpuHot on a:8000"
    assert slack.body["attachments"][0]["color"] == "warning"
    assert "/d/sightline-resources?" in slack.body["attachments"][0]["text"]


def test_a_page_that_goes_on_is_sent_again(tmp_path: Path) -> None:
    with everywhere(tmp_path, page_repeat="1500ms") as all_of_it:
        all_of_it.manager.fire(PAGE | {"instance": "a:8000"})
        first, second = all_of_it.web.wait_for("webhook", 2)[:2]
    assert first.body["alerts"] == second.body["alerts"]


def test_a_group_of_forty_still_fits_into_every_message(tmp_path: Path) -> None:
    with everywhere(tmp_path) as all_of_it:
        all_of_it.manager.fire(*(PAGE | {"instance": f"backend-{n:02}:8000"} for n in range(40)))
        all_of_it.wait_for(1)
        text = all_of_it.mail.mails[-1].body("plain")
    assert "Only the first 10 are shown." in text
    assert text.count(SUMMARY) == 10


NOT_READY = {"alertname": "EngineNotReady", "severity": "page", "part": "engine"}
DOWN = {"alertname": "ScrapeDown", "severity": "page", "part": "monitoring"}
NOTHING = {"alertname": "NothingAnswered", "severity": "page", "part": "live"}
ERRORS = {"alertname": "HttpServerErrors", "severity": "ticket", "part": "http"}
LAG = {"alertname": "EventLoopLag", "severity": "ticket", "part": "http"}
RESTARTS = {"alertname": "EngineRestarts", "severity": "ticket", "part": "engine"}
UNREADY = {"alertname": "EngineUnreadyFastBurn", "severity": "page", "part": "engine",
           "objective": "engine-ready"}  # fmt: skip
SLOW = {"alertname": "FramesLateSlowBurn", "severity": "ticket", "part": "live",
        "objective": "frames-in-time"}  # fmt: skip
CALLS = {"alertname": "CallsFailingSlowBurn", "severity": "ticket", "part": "http",
         "objective": "calls-answered"}  # fmt: skip
FOREIGN = {"alertname": "DiskSlow", "severity": "page", "team": "storage"}  # has no part
CASES: list[tuple[dict[str, str] | None, dict[str, str], bool]] = [
    (None, NOTHING, False),
    (NOT_READY, NOTHING, True),
    (NOT_READY, ERRORS, True),
    (NOT_READY, PAGE, True),
    (NOT_READY, UNREADY, True),
    (NOT_READY, LAG, False),
    (NOT_READY, RESTARTS, False),
    (NOTHING, NOT_READY, False),
    (DOWN, NOT_READY, True),
    (DOWN, RESTARTS, True),
    (DOWN, TICKET, True),
    (DOWN, WATCHDOG, False),
    (DOWN, FOREIGN, False),
    (PAGE, SLOW, True),
    (PAGE, CALLS, False),
    (SLOW, PAGE, False),
]


def test_a_cause_silences_its_symptoms_on_the_same_machine_alone(tmp_path: Path) -> None:
    alerts = []
    for number, (cause, symptom, _) in enumerate(CASES):
        here, elsewhere = {"instance": f"{number}"}, {"instance": f"not {number}"}
        alerts += [symptom | here, symptom | elsewhere, *([cause | here] if cause else [])]
    expected = [silenced for *_, silenced in CASES]
    with alertmanager(tmp_path, AlertSettings()) as manager:
        manager.fire(*alerts)
        for _ in range(100):
            held = inhibited(manager)
            found = [
                (str(n), symptom["alertname"]) in held for n, (_, symptom, _) in enumerate(CASES)
            ]
            if found == expected:
                break
            time.sleep(0.1)
    assert found == expected
    assert not any(instance.startswith("not") for instance, _ in held)


def test_sites_and_other_people_who_share_an_alertmanager_keep_their_alerts(tmp_path: Path) -> None:
    """Both sites have a backend:8000, and the server that nobody knows has no instance."""
    here = {"job": "sightline", "instance": "backend:8000"}
    harbour, station = here | {"site": "harbour"}, here | {"site": "station"}
    nobody = DOWN | {"job": "sightline", "site": "harbour"}
    others = {"alertname": "JobFailed", "severity": "ticket", "part": "engine", "job": "sightline"}
    with alertmanager(tmp_path, AlertSettings()) as manager:
        manager.fire(DOWN | harbour, nobody, NOT_READY | harbour, NOT_READY | station,
                     others | {"site": "harbour"}, FOREIGN | harbour)  # fmt: skip
        for _ in range(100):
            alerts = manager.alerts()
            if any(one["status"]["inhibitedBy"] for one in alerts):
                break
            time.sleep(0.1)
    silent = [one["labels"] for one in alerts if one["status"]["inhibitedBy"]]
    assert silent == [NOT_READY | harbour]


def test_a_message_names_the_site_and_has_no_other_sites_alerts(tmp_path: Path) -> None:
    with everywhere(tmp_path) as all_of_it:
        for site in ("harbour", "station"):
            all_of_it.manager.fire(NOT_READY | {"instance": "backend:8000", "site": site})
        all_of_it.wait_for(2)
        subjects = {mail.subject for mail in all_of_it.mail.mails}
    assert subjects == {
        f"[Sightline] PAGE: EngineNotReady on backend:8000 at {site}"
        for site in ("harbour", "station")
    }


def inhibited(manager: AlertmanagerServer) -> set[tuple[str, str]]:
    """Return instance and name of the alerts that another one silences."""
    silent = [one["labels"] for one in manager.alerts() if one["status"]["inhibitedBy"]]
    return {(labels["instance"], labels["alertname"]) for labels in silent}


def test_a_silenced_symptom_arrives_once_its_cause_is_over(tmp_path: Path) -> None:
    with everywhere(tmp_path) as all_of_it:
        here = {"instance": "a:8000"}
        all_of_it.manager.fire(NOT_READY | here, NOTHING | here)
        all_of_it.web.wait_for("webhook")
        time.sleep(QUIET_S)
        (only,) = all_of_it.web.to("webhook")
        assert only.body["commonLabels"]["alertname"] == "EngineNotReady"
        all_of_it.manager.resolve(NOT_READY | here)
        told = all_of_it.web.wait_for("webhook", 3)
    assert {(one.body["commonLabels"]["alertname"], one.body["status"]) for one in told} == {
        ("EngineNotReady", "firing"),
        ("EngineNotReady", "resolved"),
        ("NothingAnswered", "firing"),
    }


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a key and a certificate of its own authority for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail of the tests")])
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "mail.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


def test_secrets_reach_the_services_and_are_seen_nowhere_else(
    tmp_path: Path, certificate: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    secrets = {"password": "hunter2", "token": "hunter3"}
    for name, secret in secrets.items():
        (tmp_path / name).write_text(f"{secret}\n")
    with mail_server(tls, login=("sightline", "hunter2")) as mail, web_server() as web:
        (tmp_path / "address").write_text(f"{web.url}/webhook\n")
        settings = AlertSettings(
            email_to=("ops@example.org",),
            email_from="sightline@example.org",
            email_smarthost=mail.address,
            email_username="sightline",
            email_password_file=tmp_path / "password",
            email_ca_file=certificate,
            webhook_url_file=tmp_path / "address",
            webhook_token_file=tmp_path / "token",
            group_wait="0s",
        )
        with alertmanager(tmp_path / "am", settings) as manager:
            manager.fire(TICKET)
            (letter,) = mail.wait_for()
            (post,) = web.wait_for("webhook")
            shown = manager.status() + manager.config.read_text() + manager.log.read_text()
    assert (letter.encrypted, letter.login) == (True, "sightline")
    assert post.token == f"Bearer {secrets['token']}"
    for secret in (*secrets.values(), f"{web.url}/webhook"):
        assert secret not in shown
