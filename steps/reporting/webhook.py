"""The webhook: a run as signed JSON, with a line of text that chat programs show."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from steps.clients.http import Undelivered, post
from steps.core.approvals import approval_command, approval_link
from steps.reporting.run_page import headline
from steps.runtime.settings.delivery import On

if TYPE_CHECKING:
    from steps.contracts import RunResult
    from steps.runtime.settings.delivery import WebhookSettings

SIGNATURE = "X-Git-Sync-Signature-256"


def is_wanted(settings: WebhookSettings, result: RunResult) -> bool:
    """Whether WEBHOOK_ON selects this run."""
    applies = {
        On.ALWAYS: True,
        On.CHANGE: result.files_changed > 0,
        On.SUBSTANCE: result.changes.has_substance,
        On.FAILURE: result.exit_code != 0,
    }
    return any(applies[on] for on in settings.on)


def _text(result: RunResult) -> str:
    link = approval_link(result.approvals, result.origin)
    return f"{headline(result)} To approve: {link}" if result.approvals and link else headline(result)


def _approval(result: RunResult) -> dict[str, str | None] | None:
    """How to approve all refused deletions; None if there is nothing to approve."""
    if not result.approvals:
        return None
    return {
        "command": approval_command(result.approvals, result.origin),
        "url": approval_link(result.approvals, result.origin),
    }


def send(settings: WebhookSettings, result: RunResult) -> None:
    """Send the run to WEBHOOK_URL. Raises Undelivered.

    The signature is the HMAC-SHA256 of the body with WEBHOOK_SECRET, in the format of GitHub's
    X-Hub-Signature-256.
    """
    url = settings.url.get_secret_value()
    body = json.dumps(
        {
            "schema_version": 1,
            "text": _text(result),
            "approval": _approval(result),
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
    except Undelivered as problem:  # the server's message may quote the URL, which is a secret
        raise Undelivered(problem.reason) from None
