"""Private SSH keys as people mount them: repaired, or named."""

from __future__ import annotations

import subprocess
from shutil import which
from typing import TYPE_CHECKING

import asyncssh
import pytest

from steps.core.ssh_key import problem, repaired

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ED25519 = asyncssh.generate_private_key("ssh-ed25519")
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=1024)
KEYS = {
    "openssh": ED25519.export_private_key(),
    "openssh-rsa": RSA.export_private_key(),
    "pkcs1": RSA.export_private_key("pkcs1-pem"),
    "pkcs8": RSA.export_private_key("pkcs8-pem"),
}
needs_keygen = pytest.mark.skipif(
    which("ssh-keygen") is None, reason="no ssh-keygen here: apt-get install openssh-client"
)
each_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)


@each_key
def test_good_key_is_not_changed(key: bytes) -> None:
    assert repaired(key) == key
    assert problem(key) is None


@each_key
@pytest.mark.parametrize(
    "damage",
    [
        lambda key: key.replace(b"\n", b"\r\n"),
        lambda key: key.rstrip(b"\n"),
        lambda key: b"\xef\xbb\xbf" + key,
        lambda key: b"\n\n  " + key.replace(b"\n", b"\n  "),
        lambda key: key.replace(b"\n", b"\\n"),
        lambda key: key + b"\n\n",
    ],
    ids=["CRLF", "no last line feed", "BOM", "indented", "escaped", "blank lines"],
)
def test_key_is_repaired(damage: Callable[[bytes], bytes], key: bytes) -> None:
    assert repaired(damage(key)) == key


@each_key
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_key_is_not_complete(part: float, key: bytes) -> None:
    assert "is not complete" in str(problem(key[: int(len(key) * part)]))
    lines = key.split(b"\n")
    del lines[1 + int((len(lines) - 4) * part)]
    assert "is not complete" in str(problem(b"\n".join(lines)))


@needs_keygen
@pytest.mark.parametrize("style", ["RFC4716", "PKCS8", "PEM"])
def test_key_with_a_passphrase_is_named(style: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-m", style]
    subprocess.run([*command, "-N", "secret", "-f", str(path)], check=True)
    assert "has a passphrase" in str(problem(path.read_bytes()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ED25519.export_public_key(), "is a public key"),
        (ED25519.export_public_key("pkcs8-pem"), "is a public key"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\n", "puttygen"),
        (b"ghp_0123456789\n", "is not a private key"),
    ],
    ids=["public", "public PEM", "PuTTY", "token"],
)
def test_other_text_is_named(text: bytes, words: str) -> None:
    assert words in str(problem(text))


@needs_keygen
@each_key
def test_openssh_reads_the_repaired_key(key: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(repaired(key.replace(b"\n", b"\r\n").rstrip()))
    subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", path], check=True, capture_output=True)
