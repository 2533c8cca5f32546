"""Which files may contain a Secret, without parsing."""

from __future__ import annotations

import pytest

from steps.kubernetes.secret_filter import SecretFilter, is_compressed, names_secrets
from tests.support.secret_shapes import SHAPES

PATH = "c1/shop/x.yaml"


@pytest.mark.parametrize("name", SHAPES)
def test_filter_passes_every_shape(name: str) -> None:
    assert SecretFilter().may_match(SHAPES[name].path, SHAPES[name].content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"kind: ConfigMap\ndata:\n  a: b\n",
        b"# data:\nkind: Pod\nspec: {volumes: [{name: data}]}\n---\nkind: ConfigMap\ndata: {a: b}\n",
        b'{"kind": "ConfigMap", "metadata": {}, "data": {"a": "b"}}',
        b"kind: SealedSecret\nspec: {encryptedData: {a: AgB}}\n",
        b"kind: Pod\nspec: {volumes: [{name: t, secret: {secretName: t}}]}\n",
        b'kind: ConfigMap\ndata: {a: "x\\n\\"y\\"\\t"}\n',
        b"kind: ConfigMap\ndata:\n  run: |\n    #!/bin/sh\n    ! true\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR kind",
        "kind: ConfigMap\ndata: {a: ü}\n".encode("utf-16"),
    ],
)
def test_file_without_a_possible_spelling_is_not_parsed(content: bytes) -> None:
    assert not SecretFilter().may_match(PATH, content)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("c1/shop/secrets/db.yaml", True),
        ("c1/shop/Secret/db.yaml", True),
        ("c1/shop/secret-db.yaml", True),
        ("c1/shop/db.secret.json", True),
        ("c1/helm/sh.helm.release.v1.shop.v1.yaml", True),
        ("c1/shop/sealedsecrets/db.yaml", False),
        ("c1/shop/sealed-secrets/db.yaml", False),
        ("c1/external-secrets/deployment.yaml", False),
        ("c1/secretary/x.yaml", False),
    ],
)
def test_path_names_secrets(path: str, named: bool) -> None:
    assert names_secrets(path) is named


@pytest.mark.parametrize(
    ("kind", "content", "matches"),
    [
        ("Database.example.com", b"kind: Database\n", True),
        ("Database", b"kind: Data\n", False),
        ("*base", b"kind: Database\n", True),
        ("D[]a]tabase", b"kind: Database\n", True),
        ("D[!]x]tabase", b"kind: Database\n", True),
        ("D[.a]tabase.example.com", b"kind: Database\n", True),
        ("[CD]ata*", b"kind: Data\n", True),
        ("*", b"kind: Pod\n", True),
    ],
)
def test_kinds_of_the_rules_pass(kind: str, content: bytes, matches: bool) -> None:
    assert SecretFilter((kind,)).may_match(PATH, content) is matches


def test_compressed_files_are_recognized() -> None:
    assert is_compressed(b"\x1f\x8b\x08")
    assert not is_compressed(b"kind: Secret\n")


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("name", SHAPES)
def test_filter_passes_every_shape_in_chunks(name: str, size: int) -> None:
    content = SHAPES[name].content[:5000]
    chunks = (content[start : start + size] for start in range(0, len(content), size))
    if size == 1 and content[:2] in {b"\xff\xfe", b"\x1f\x8b", b"k\0", b"a\0"}:
        return  # the first chunk of an object is not that small
    assert SecretFilter().may_match_chunks(SHAPES[name].path, chunks)


def test_chunks_of_other_objects_do_not_match() -> None:
    chunks = [b"kind: ConfigMap\ndata:\n", b"  a: b\n" * 1000]
    assert not SecretFilter().may_match_chunks(PATH, chunks)
    assert SecretFilter(("ConfigMap",)).may_match_chunks(PATH, chunks)
