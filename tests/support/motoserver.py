"""Serve moto's S3 on a free loopback port and print the address: the child of s3.moto_server.

It is a separate process, so that it does not share the interpreter lock of the tests.
Arguments: none for HTTP, or the certificate chain and the private key (PEM files) for HTTPS.
"""

import logging
import sys
from typing import Any

from moto.moto_server import werkzeug_app
from moto.moto_server.utilities import RegexConverter
from werkzeug.serving import make_server


class _AnyCharacter(RegexConverter):
    """Matches a line feed in a key, too: moto's routes use `.+`, which answers 404 for such a key."""

    def __init__(self, url_map: Any, *items: Any) -> None:
        super().__init__(url_map, *items)
        self.regex = f"(?s:{self.regex})"


def main(certificate: list[str]) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    vars(werkzeug_app)["RegexConverter"] = _AnyCharacter
    # Not moto's dispatcher, which tries two hundred patterns per request to find S3.
    application = werkzeug_app.create_backend_app("s3")
    server = make_server(
        "127.0.0.1",
        0,
        application,
        threaded=True,
        request_handler=werkzeug_app.MotoRequestHandler,
        ssl_context=(certificate[0], certificate[1]) if certificate else None,
    )
    sys.stdout.write(f"listening on 127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
