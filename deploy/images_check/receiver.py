"""Runs in a container of the check: prints each alert that is posted, a line each.

Short lines: the engine's log cuts those of more than 16 KB in two.
"""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Webhook(BaseHTTPRequestHandler):
    """Takes what Alertmanager sends."""

    def do_POST(self) -> None:
        """Print and accept."""
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in said["alerts"]:
            name, summary = alert["labels"]["alertname"], alert["annotations"].get("summary")
            line = {"name": name, "status": alert["status"], "summary": summary}
            print(json.dumps(line), flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing but the alerts."""


if __name__ == "__main__":
    # One call at a time: two at once would mix their lines.
    HTTPServer(("", 8080), Webhook).serve_forever()
