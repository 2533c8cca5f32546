"""What a Git host answers over smart HTTP, made by hand: errors and rejections that git does not produce."""

from __future__ import annotations

from tests.support.gitbackend import Reply

_FLUSH = b"0000"


def _packet(content: bytes) -> bytes:
    return b"%04x%b" % (len(content) + 4, content)


def err_packet(service: str, words: str) -> Reply:
    """Return an answer to the first request that ends the exchange in Git's own protocol."""
    body = _packet(f"# service={service}\n".encode()) + _FLUSH + _packet(f"ERR {words}".encode())
    return Reply(200, body, f"application/x-{service}-advertisement")


def rejection(ref: str, words: str, reason: str, unpack: str = "ok") -> Reply:
    """Return the answer to a push that was received and rejected; git prints ``words`` after "remote:"."""
    report = _packet(f"unpack {unpack}\n".encode()) + _packet(f"ng {ref} {reason}\n".encode()) + _FLUSH
    spoken = b"".join(_packet(b"\x02" + f"{line}\n".encode()) for line in words.split("\n") if line)
    body = spoken + _packet(b"\x01" + report) + _FLUSH
    return Reply(200, body, "application/x-git-receive-pack-result")
