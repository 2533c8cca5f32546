"""The environment that tests run git-sync in."""

from __future__ import annotations

import os

import certifi


def clean() -> None:
    """Remove the developer's Git variables from the environment, as steps.cli.main does at the start.

    The system's CA certificates are those of one file. obstore 0.12 reads them for each client, also for
    HTTP: the 292 files of Debian's /etc/ssl/certs take 5.6 ms, a tenth of a run.
    """
    for name in list(os.environ):
        if name.startswith(("GIT_", "AWS_", "MINIO_")):
            del os.environ[name]
    os.environ.pop("SSL_CERT_DIR", None)
    os.environ["SSL_CERT_FILE"] = certifi.where()
