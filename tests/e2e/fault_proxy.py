"""Runs in a separate pod in front of the S3 store, and delays or rejects requests by rules.

UPSTREAM is host:port. RULES is a JSON list of {"contains", "delay", "status", "seconds"}: a request
whose target contains the text waits `delay` seconds. With a `status` it is then rejected, during
`seconds` after the first such request, or always. Uses only the standard library.
"""

import http.client
import http.server
import json
import os
import time
from typing import Any
from urllib.parse import unquote

UPSTREAM = os.environ["UPSTREAM"]
RULES: list[dict[str, Any]] = json.loads(os.environ["RULES"])
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Forwards a request with its target and headers unchanged."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        for rule in RULES:
            if rule["contains"] in unquote(self.path):
                time.sleep(rule.get("delay", 0))
                began = rule.setdefault("began", time.monotonic())
                if "status" in rule and time.monotonic() - began < rule.get("seconds", float("inf")):
                    self._refuse(rule["status"])
                    return
        self._forward()

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _refuse(self, status: int) -> None:
        code = "AccessDenied" if status == 403 else "SlowDown"
        body = f"<Error><Code>{code}</Code><Message>by rule</Message></Error>"
        self._answer(status, [("Content-Type", "application/xml")], body.encode())

    def _forward(self) -> None:
        upstream = http.client.HTTPConnection(UPSTREAM, timeout=60)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                upstream.putheader(name, value)
        upstream.endheaders()
        answer = upstream.getresponse()
        self._answer(answer.status, answer.getheaders(), answer.read())
        upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        sized = self.command == "HEAD"
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP and (sized or name.lower() != "content-length"):
                self.send_header(name, value)
        if not sized:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", 9000), Handler).serve_forever()
