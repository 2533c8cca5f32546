"""Telling a web address of a run: signed JSON, with a line that chat programs show."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from steps.clients.http import Undelivered, post
from steps.reporting.run_page import headline
from steps.runtime.settings.delivery import On

if TYPE_CHECKING:
    from steps.contracts import RunResult
    from steps.runtime.settings.delivery import WebhookSettings

SIGNATURE = "X-Git-Sync-Signature-256"


def wanted(settings: WebhookSettings, result: RunResult) -> bool:
    """Whether WEBHOOK_ON names this run: no failure, and no change, are missed by ``always``."""
    return any(
        {On.ALWAYS: True, On.CHANGE: result.files_changed > 0, On.FAILURE: result.exit_code != 0}[on]
        for on in settings.on
    )


def tell(settings: WebhookSettings, result: RunResult) -> None:
    """Send the run to WEBHOOK_URL. Raises Undelivered.

    The signature is the HMAC-SHA256 of the body under WEBHOOK_SECRET, spelt as Git hosts do.
    """
    url = settings.url.get_secret_value()
    body = json.dumps(
        {
            "schema_version": 1,
            "text": headline(result),
            "commit_url": settings.commit_page(result.commit) if result.commit else None,
            "run": result.model_dump(mode="json"),
        }
    ).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "git-sync"}
    if settings.secret:
        key = settings.secret.get_secret_value().encode()
        headers[SIGNATURE] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
    try:
        post(url, body, headers, ca_file=settings.ca_file, proxy=settings.proxy_to(url))
    except Undelivered as problem:  # the server's words may have the address in them, a part of it too
        raise Undelivered(problem.reason) from None
