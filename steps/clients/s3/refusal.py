"""A server's refusal of a request: its status, and the code and the message of the S3 error."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from steps.clients.http import server_words

_FIRST_REFUSED, _FIRST_PASSING = 400, 500

# A retry may succeed. 408 and 409 are also the statuses of RequestTimeout and OperationAborted.
_PASSING_STATUSES = frozenset({408, 409, 425, 429})
# The server does not know the request: it fails each time.
_LASTING_STATUSES = frozenset({501, 505})

# A retry may succeed, with every status: AWS sends RequestTimeout with 400 (S3 API, "Error responses"),
# and a server that has begun to answer with 200 can only send an error as a document.
_PASSING_CODES = frozenset(
    {
        *("InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"),
        *("SlowDownRead", "TooManyRequests"),
    }
)

# About the credentials, the clock or the bucket, never about one object (S3 API, "Error responses").
# UserSuspended: Ceph, rgw_common.cc. XAdminUserNotFound: versitygw 1.8, for an unknown access key.
_NOT_ABOUT_AN_OBJECT = frozenset(
    {
        *("AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken"),
        *("InvalidAccessKeyId", "InvalidBucketName", "InvalidSecurity", "InvalidToken", "NoSuchBucket"),
        *("NotSignedUp", "PermanentRedirect", "RequestTimeTooSkewed", "SignatureDoesNotMatch"),
        *("TokenRefreshRequired", "UserSuspended", "XAdminUserNotFound"),
    }
)
_UNAUTHENTICATED = 401
# rclone 1.75 answers so to a clock that is behind, with the code AccessDenied.
_ABOUT_THE_CLOCK = "difference between the request time"

# What to do, by code; {0} is the first word of the settings' names, MINIO or STATE.
_CURES = {
    "AccessDenied": "allow s3:ListBucket and s3:GetObject for {0}_ACCESS_KEY",
    "AuthorizationHeaderMalformed": "check {0}_REGION",
    "ExpiredToken": "renew {0}_ACCESS_KEY and {0}_SECRET_KEY",
    "InvalidAccessKeyId": "check {0}_ACCESS_KEY",
    "InvalidToken": "renew {0}_ACCESS_KEY and {0}_SECRET_KEY",
    "InvalidBucketName": "check {0}_BUCKET",
    "NoSuchBucket": "check {0}_BUCKET",
    "PermanentRedirect": "check {0}_ENDPOINT and {0}_REGION",
    "RequestTimeTooSkewed": "check the clocks of this machine and of the server",
    "SignatureDoesNotMatch": "check {0}_SECRET_KEY",
    "TemporaryRedirect": "check {0}_ENDPOINT and {0}_REGION",
    "UserSuspended": "ask the administrator to unblock {0}_ACCESS_KEY",
    "XAdminUserNotFound": "check {0}_ACCESS_KEY",
    "XMinioInsecureClientRequest": "check {0}_USE_SSL",
}
# Answers without a code: HEAD has no body, and other servers send pages.
_CURES_OF_STATUSES = {
    _UNAUTHENTICATED: "check {0}_ACCESS_KEY and {0}_SECRET_KEY",
    403: _CURES["AccessDenied"],
}
_CURE_OF_ANOTHER_SERVER = "not an S3 server: check {0}_ENDPOINT and {0}_USE_SSL"


class Refusal(NamedTuple):
    """An answer that is not the requested one. ``code`` is "" if it is no S3 error."""

    status: int
    code: str
    words: str
    has_body: bool = True

    @classmethod
    def of(cls, status: int, body: str, content_type: str = "") -> Refusal:
        """Read the body of any type: rclone sends errors as text/xml (seen with 1.75)."""
        code = _element("Code", body)
        if not code:
            kind = content_type.split(";", maxsplit=1)[0].strip()
            what = f"the server answered {status}" + (f" ({kind})" if kind and body else "")
            words = ": ".join(filter(None, (what, server_words(body))))
            return cls(status, "", words, has_body=bool(body))
        # Details: GCS names there the permission that is missing.
        message = " ".join(filter(None, (_element("Message", body), _element("Details", body))))
        return cls(status, code, server_words(message))

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        if self.code in _PASSING_CODES or self.status in _PASSING_STATUSES:
            return True
        return self.status >= _FIRST_PASSING and self.status not in _LASTING_STATUSES

    @property
    def is_about_an_object(self) -> bool:
        """Whether other objects may still be fetched."""
        is_refused = _FIRST_REFUSED <= self.status < _FIRST_PASSING and self.status != _UNAUTHENTICATED
        is_general = self.code in _NOT_ABOUT_AN_OBJECT or self._is_about_the_clock
        return is_refused and not self.is_passing and not is_general

    @property
    def _is_about_the_clock(self) -> bool:
        return _ABOUT_THE_CLOCK in self.words

    @property
    def text(self) -> str:
        """The server's own words."""
        return ": ".join(filter(None, (self.code, self.words)))

    def explained(self, settings: str) -> str:
        """Return the server's words and what to do; ``settings`` is MINIO or STATE."""
        cure = self._cure().format(settings)
        if self.code and not self.words:
            return f"{self.code}: {cure or f'the server answered {self.status}'}"
        return f"{self.text.removesuffix('.')}; {cure}" if cure else self.text

    def _cure(self) -> str:
        if self.is_passing:
            return ""
        if self._is_about_the_clock:
            return _CURES["RequestTimeTooSkewed"]
        if self.code in _CURES:
            return _CURES[self.code]
        if self.has_body and not self.code:
            return _CURE_OF_ANOTHER_SERVER
        if self.code and self.status != _UNAUTHENTICATED:
            return ""
        return _CURES_OF_STATUSES.get(self.status, "")


def _element(name: str, xml: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", xml)
    return html.unescape(found[1]).strip() if found else ""
