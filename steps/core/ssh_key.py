"""The text of a private SSH key: repairing what editors and secret stores do to it, and naming what is wrong.

OpenSSH 9.2 reports most of this as "error in libcrypto", and a key with a passphrase as "Permission denied".
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----")
_PUBLIC = re.compile(
    rb"(ssh|ecdsa|sk)-[a-z0-9@.-]+ |-----BEGIN [A-Z0-9 ]*PUBLIC KEY|---- BEGIN SSH2 PUBLIC KEY"
)
_MAGIC = b"openssh-key-v1\0"
_DER_SEQUENCE = 0x30
_DER_LONG_LENGTH = 0x80

_ENCRYPTED = "has a passphrase; remove it with `ssh-keygen -p -N ''`, or create a key without one"
_INCOMPLETE = "is not complete; mount the whole file, from -----BEGIN to -----END"


def repaired(data: bytes) -> bytes:
    """Return the key as OpenSSH requires it: LF line endings, and one after the last line.

    Removes a BOM and white space around lines, and replaces backslash and n, as in keys pasted from JSON.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\\n", b"\n").replace(b"\r", b"\n")
    lines = [line.strip() for line in text.replace(b"\n\n", b"\n").strip().split(b"\n")]
    return b"\n".join(lines) + b"\n"


def problem(data: bytes) -> str | None:
    """Return why this is not a usable private key, as the predicate of a sentence; None if it is."""
    if b"PuTTY-User-Key-File" in data:
        return "is a key for PuTTY; convert it with `puttygen KEY -O private-openssh`"
    if _PUBLIC.match(data):
        return "is a public key; mount the private key"
    if not (begin := _BEGIN.search(data)):
        return "is not a private key; mount the whole file, from -----BEGIN to -----END"
    kind = begin[1]
    body, end, _ = data[begin.end() :].partition(b"-----END " + kind + b"-----")
    if not end:
        return _INCOMPLETE
    if kind.startswith(b"ENCRYPTED") or b"Proc-Type: 4,ENCRYPTED" in body:
        return _ENCRYPTED
    try:
        content = b64decode(b"".join(body.split()), validate=True)
    except Error:
        return _INCOMPLETE
    return _openssh_problem(content) if kind.startswith(b"OPENSSH") else _der_problem(content)


def _openssh_problem(content: bytes) -> str | None:
    """Check the fields of an OpenSSH key (PROTOCOL.key): cipher, KDF, its options, keys, public, private."""
    if not content.startswith(_MAGIC):
        return _INCOMPLETE
    fields: list[bytes] = []
    rest = content[len(_MAGIC) :]
    for number in range(6):
        length = 0 if number == 3 else int.from_bytes(rest[:4])  # noqa: PLR2004 - the count of keys has no length
        if len(rest) < 4 + length:
            return _INCOMPLETE
        fields.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return _ENCRYPTED if fields[0] != b"none" else None


def _der_problem(content: bytes) -> str | None:
    """Check that the outer sequence of a PEM key is as long as it says."""
    if len(content) < 2 or content[0] != _DER_SEQUENCE:  # noqa: PLR2004 - a tag and a length
        return _INCOMPLETE
    length, head = content[1], 2
    if length >= _DER_LONG_LENGTH:
        head += length - _DER_LONG_LENGTH
        length = int.from_bytes(content[2:head])
    return _INCOMPLETE if len(content) < head + length else None
