"""What people read: a Go template for each service, which Alertmanager fills in.

They are written into the configuration itself, so that one file is all Alertmanager needs.
Each alert has its summary with the numbers, since when, the runbook and the dashboard.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOWN = 10  # alerts of a group in one message: Teams takes no more than 28 KB

TITLE = (
    '{{ if eq .Status "firing" }}{{ or .CommonLabels.severity "alert" | toUpper }}'
    "{{ else }}RESOLVED{{ end }}"
    ": {{ .GroupLabels.alertname }}{{ with .CommonLabels.instance }} on {{ . }}{{ end }}"
    "{{ with .GroupLabels.site }} at {{ . }}{{ end }}"
    "{{ if gt (len .Alerts) 1 }} ({{ len .Alerts.Firing }} of {{ len .Alerts }} firing){{ end }}"
)
SUBJECT = "[Sightline] " + TITLE
SLACK_COLOUR = (
    '{{ if eq .Status "resolved" }}good'
    '{{ else if eq .CommonLabels.severity "page" }}danger{{ else }}warning{{ end }}'
)

_TIME = '.UTC.Format "2006-01-02 15:04:05 UTC"'
_SINCE = (
    f"Since {{{{ .StartsAt{_TIME} }}}}"
    f'{{{{ if eq .Status "resolved" }}}}, resolved {{{{ .EndsAt{_TIME} }}}}{{{{ end }}}}'
)
_MORE = f"{{{{ if gt (len .Alerts) {SHOWN} }}}}Only the first {SHOWN} are shown.{{{{ end }}}}"
# From a quarter of an hour before it began; Go counts in nanoseconds.
_DASHBOARD = (
    "/d/{{ if .Labels.objective }}sightline-objectives"
    '{{ else if match "^(gpu|host)$" .Labels.part }}sightline-resources'
    "{{ else }}sightline-live{{ end }}?from={{ (.StartsAt.Add -900000000000).UnixMilli }}&to=now"
)


@dataclass(frozen=True, slots=True)
class Links:
    """Where a reader of a message finds things; None: there is no link.

    Args:
        grafana: address of Grafana.
        repository: address under which the rules' paths, such as docs/runbooks/…, are found.
    """

    grafana: str | None = None
    repository: str | None = None

    def dashboard(self, before: str, after: str, ampersand: str = "&") -> str:
        """Return the address of the alert's dashboard between two pieces of markup."""
        path = _DASHBOARD.replace("&", ampersand)
        return f"{before}{self.grafana}{path}{after}" if self.grafana else ""

    def runbook(self, before: str, after: str) -> str:
        """Return the address of the alert's runbook between two pieces of markup.

        A path that nothing is known of is named as it is.
        """
        path = f"{before}{self.repository}/{{{{ . }}}}{after}" if self.repository else None
        return (
            "{{ with .Annotations.runbook_url }}"
            f'{{{{ if match "^https?://" . }}}}{before}{{{{ . }}}}{after}'
            f"{{{{ else }}}}{path or 'Runbook: {{ . }}'}{{{{ end }}}}{{{{ end }}}}"
        )


def slack(links: Links) -> str:
    """Return the text in Slack's own markup, in which three characters are escaped."""
    escaped = '| reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;" | reReplaceAll ">" "&gt;"'
    return _each(
        f"*{{{{ .Annotations.summary {escaped} }}}}*\n"
        f"{{{{ with .Annotations.description }}}}{{{{ . {escaped} }}}}\n{{{{ end }}}}"
        f"{_SINCE}\n"
        f"{links.runbook('<', '|Runbook>')}{links.dashboard(' | <', '|Dashboard>', '&amp;')}\n\n"
    )


def teams(links: Links) -> str:
    """Return the text in the Markdown of a card, where a new paragraph takes an empty line."""
    escaped = r'| reReplaceAll "([\\\\`*_\\[\\]<>#])" "\\$1"'
    return _each(
        f"**{{{{ .Annotations.summary {escaped} }}}}**\n\n"
        f"{{{{ with .Annotations.description }}}}{{{{ . {escaped} }}}}\n\n{{{{ end }}}}"
        f"{_SINCE}\n\n"
        f"{links.runbook('[Runbook](', ')')}{links.dashboard(' | [Dashboard](', ')')}\n\n"
    )


def mail_text(links: Links) -> str:
    """Return the mail's plain text."""
    return _each(
        "{{ .Annotations.summary }}\n"
        "{{ with .Annotations.description }}{{ . }}\n{{ end }}"
        f"{_SINCE}\n"
        f"{links.runbook('Runbook: ', '')}\n"
        f"{links.dashboard('Dashboard: ', chr(10))}"
        "Labels: {{ .Labels.SortedPairs }}\n\n"
    )


def mail_html(links: Links) -> str:
    """Return the mail's HTML; Alertmanager escapes what it fills in."""
    colour = '{{ if eq .Status "firing" }}#b3261e{{ else }}#2e7d32{{ end }}'
    dashboard = links.dashboard(' | <a href="', '">Dashboard</a>', "&amp;")
    return (
        '<html><body style="font-family: sans-serif; font-size: 15px; line-height: 1.4">\n'
        + _each(
            f'<p style="border-left: 4px solid {colour}; padding-left: 12px">\n'
            "<b>{{ .Annotations.summary }}</b><br>\n"
            "{{ with .Annotations.description }}{{ . }}<br>\n{{ end }}"
            f"{_SINCE}<br>\n"
            f"""{links.runbook('<a href="', '">Runbook</a>')}{dashboard}<br>\n"""
            '<small style="color: #666">{{ .Labels.SortedPairs }}</small></p>\n'
        )
        + "</body></html>\n"
    )


def _each(alert: str) -> str:
    """Repeat a text for each alert, up to what fits."""
    begin = f"{{{{ range $i, $a := .Alerts }}}}{{{{ if lt $i {SHOWN} }}}}"
    return f"{begin}{alert}{{{{ end }}}}{{{{ end }}}}{_MORE}"
