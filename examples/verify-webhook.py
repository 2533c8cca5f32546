"""Receive git-sync's webhook and check its signature, with Python's standard library only."""

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        expected = f"sha256={hmac.new(SECRET, body, hashlib.sha256).hexdigest()}"
        if not hmac.compare_digest(expected, self.headers.get("X-Git-Sync-Signature-256", "")):
            self.send_error(403)
            return
        run = json.loads(body)["run"]
        print(run["run_id"], run["outcome"], run["commit"], flush=True)  # a run may be delivered twice
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Hook).serve_forever()
