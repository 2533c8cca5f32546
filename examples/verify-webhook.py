"""Receive git-sync's webhook and check its signature, with Python's standard library only.

Each connection has a thread and a deadline, so that a client that sends nothing, or one byte per second, does
not block the others.
"""

import hashlib
import hmac
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()
SECONDS = 10  # for a whole request; git-sync sends its own at once
LARGEST = 64 * 2**20


class Hook(BaseHTTPRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.deadline = threading.Timer(SECONDS, self.close)
        self.deadline.daemon = True
        self.deadline.start()

    def finish(self) -> None:
        self.deadline.cancel()
        super().finish()

    def close(self) -> None:
        with suppress(OSError):  # the client has closed the connection
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        expected = f"sha256={hmac.new(SECRET, body, hashlib.sha256).hexdigest()}"
        given = self.headers.get("X-Git-Sync-Signature-256", "")
        if not hmac.compare_digest(expected.encode(), given.encode()):
            self.send_error(403)
            return
        run = json.loads(body)["run"]
        print(run["run_id"], run["outcome"], run["commit"], flush=True)  # a run may be delivered twice
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hook).serve_forever()
