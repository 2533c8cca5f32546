"""The paths and blob ids that a Git host's message about a refused push names.

Messages of hosts, as git prints them after "remote:" (paths begin at the root of the repository):

- GitHub, secrets: "- commit: 5477a7dd…" and "path: src/api/github.ts:34", or "- blob id: 1b98197d…"
- GitHub, size: "error: File big.bin is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB"
- GitLab, secrets: "-- test.txt:2 GitLab Personal Access Token"
- GitLab, push rules: "GitLab: File name a/id_rsa was prohibited by the pattern "id_rsa".",
  "File "a/b.bin" is larger than the allowed size of 1 MB."
- GitLab, size: "You are attempting to check in one or more blobs which exceed the 100.0MiB limit:" and
  "- 9f5f0b9feb7626a0f53112f1b3fe7c603101616d (223 MiB)"
- Gitea: "branch main is protected from changing file a/b.yaml"
- Azure DevOps: "VS403654: The push was rejected because it contains one or more secrets." and
  "paths: /a/index.html(51,74-113) : SEC101/003"
"""

from __future__ import annotations

import re

from steps.core.keys import MAX_PATH_BYTES

# Messages that these hosts print only for content. If a host accepts no change, only these messages prove
# that the content is the cause. Otherwise the accepted changes prove it.
_ABOUT_CONTENT = re.compile(
    r"push cannot contain secrets"
    r"|exceeds GitHub's file size limit"
    r"|PUSH BLOCKED: Secrets detected"
    r"|was prohibited by the pattern"
    r"|blobs which exceed the .* limit"
    r"|is larger than the allowed size of"
    r"|is protected from changing file"
    r"|VS403654",
    re.IGNORECASE,
)
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")

# What may follow a path in a message: the end of the message, or one of these characters.
_END = re.compile(r"""$|[\s:;,"'`()\[\]<>|]|\.(?=\s|$)""")
_MAX_CANDIDATES = 100_000


def is_about_content(message: str) -> bool:
    """Whether a host is known to print this message only for content that it refuses."""
    return _ABOUT_CONTENT.search(message) is not None


class Named:
    """The paths below ``git_path`` ("dir/") and the blob ids that a message names."""

    def __init__(self, message: str, git_path: str) -> None:
        self._ids = frozenset(_ID.findall(message))
        self._paths: set[bytes] = set()
        for line in message.splitlines():
            for found in re.finditer(re.escape(git_path), line):
                rest = line[found.end() :][:MAX_PATH_BYTES]
                self._paths.update(rest[: end.start()].encode() for end in _END.finditer(rest))
                if len(self._paths) > _MAX_CANDIDATES:
                    return

    def has(self, path: bytes, oid: str) -> bool:
        """Whether the message names this file; ``path`` is ``<cluster>/<rest>``."""
        return path in self._paths or oid in self._ids
