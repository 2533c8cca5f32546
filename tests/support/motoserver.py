"""Serve moto's S3 on a free loopback port and print the address: the child of s3.moto_server.

It is a separate process, so that it does not share the interpreter lock of the tests.
Arguments: none for HTTP, or the certificate chain and the private key (PEM files) for HTTPS.
"""

import logging
import pickle
import sys
from functools import lru_cache
from typing import Any

from moto.core import serialize
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server import werkzeug_app
from moto.moto_server.utilities import RegexConverter
from moto.s3.models import s3_backends
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response


class _AnyCharacter(RegexConverter):
    """Matches a line feed in a key, too: moto's routes use `.+`, which answers 404 for such a key."""

    def __init__(self, url_map: Any, *items: Any) -> None:
        super().__init__(url_map, *items)
        self.regex = f"(?s:{self.regex})"


class _Seeding:
    """Also serves /-/seed: it stores many objects with one request (see tests.support.bucket).

    The objects are those that PUT stores. A PUT takes 1.8 ms, and most requests of the tests would be PUTs.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/-/seed":
            return self.application(environ, start_response)
        target, objects, source = pickle.loads(Request(environ).get_data())
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        acl = backend.get_bucket(target).acl
        for key, body in objects.items():
            backend.put_object(target, key, body).set_acl(acl)
        for old in backend.get_bucket(source).keys.values() if source else ():
            new = backend.put_object(target, old.name, old.value)
            new.set_acl(acl)
            new.last_modified = old.last_modified
        return Response()(environ, start_response)


def main(certificate: list[str]) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    vars(werkzeug_app)["RegexConverter"] = _AnyCharacter
    # A third of the time of a listing: every object has the same few times.
    vars(serialize)["parse_to_aware_datetime"] = lru_cache(vars(serialize)["parse_to_aware_datetime"])
    # Not moto's dispatcher, which tries two hundred patterns per request to find S3.
    application = _Seeding(werkzeug_app.create_backend_app("s3"))
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
