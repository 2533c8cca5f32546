"""Files that contain a Secret, in every spelling that YAML and JSON allow, with a value to search for."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass

# In clear text, and inside every encoding of the shapes.
CANARY = "canary-7Rk2-hunter2"
ENCODED = base64.b64encode(CANARY.encode()).decode()
_GZIPPED = base64.b64encode(gzip.compress(b'{"info":"' + CANARY.encode() + b'"}', mtime=0)).decode()
_TWICE = base64.b64encode(_GZIPPED.encode()).decode()

# All of these show the value. Part of it would, too.
PROBES = tuple(
    probe
    for text in (CANARY, ENCODED, _GZIPPED, _TWICE)
    for probe in (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be"))
)


@dataclass(frozen=True)
class Shape:
    """A file with a Secret. ``readable`` is False if redaction must refuse it."""

    content: bytes
    readable: bool = True
    path: str = "c1/shop/x.yaml"


def _secret(**more: object) -> dict[str, object]:
    metadata = {"name": "db", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": ENCODED}, **more}


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _yaml(kind: str, *, rest: str = "") -> bytes:
    return (
        f"apiVersion: v1\n{kind}\nmetadata:\n  name: db\n  namespace: shop\n"
        f"data:\n  password: {ENCODED}\n{rest}"
    ).encode()


_PLAIN = _yaml("kind: Secret")
_CONFIG = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\ndata:\n  a: b\n"
_APPLIED = json.dumps(_secret())

SHAPES: dict[str, Shape] = {
    # spellings of the kind
    "plain": Shape(_PLAIN),
    "single quotes": Shape(_yaml("kind: 'Secret'")),
    "double quotes": Shape(_yaml('kind: "Secret"')),
    "escape x": Shape(_yaml(r'kind: "\x53ecret"')),
    "escape u": Shape(_yaml(r'kind: "\u0053ecret"')),
    "escape U": Shape(_yaml(r'kind: "Secre\U00000074"')),
    "escaped line break": Shape(_yaml('kind: "Sec\\\n  ret"')),
    "escaped key": Shape(_yaml(r'"\x6bind": "\x53ecret"')),
    "folded": Shape(_yaml("kind: >-\n  Secret")),
    "literal": Shape(_yaml("kind: |-\n  Secret")),
    "literal with a line break": Shape(_yaml("kind: |\n  Secret")),
    "on the next line": Shape(_yaml("kind:\n  Secret")),
    "behind a comment": Shape(_yaml("kind: # why\n  Secret")),
    "complex key": Shape(_yaml("? kind\n: Secret")),
    "kind last": Shape(_PLAIN.replace(b"kind: Secret\n", b"") + b"kind: Secret\n"),
    "anchor and alias": Shape(
        b"apiVersion: v1\nmetadata: {name: &k Secret}\nkind: *k\ndata:\n  p: " + ENCODED.encode() + b"\n"
    ),
    "anchor in a redacted field": Shape(
        b"apiVersion: v1\nx: &k Secret\nkind: *k\ndata:\n  p: " + ENCODED.encode() + b"\n", readable=False
    ),
    "tag": Shape(_yaml("kind: !!str Secret"), readable=False),
    "binary tag": Shape(_yaml("kind: !!binary U2VjcmV0"), readable=False),
    "verbatim tag": Shape(_yaml("kind: !<tag:yaml.org,2002:binary> U2VjcmV0"), readable=False),
    "tag of a directive": Shape(
        b"%TAG !e! tag:yaml.org,2002:bin\n---\n" + _yaml("kind: !e!ary U2VjcmV0"), readable=False
    ),
    "version directive": Shape(b"%YAML 1.1\n---\n" + _PLAIN, readable=False),
    "duplicate kind": Shape(_yaml("kind: ConfigMap\nkind: Secret"), readable=False),
    "merge key": Shape(b"<<: {kind: Secret}\n" + _yaml("immutable: false")),
    "merged values": Shape(
        b"x: &x {password: " + ENCODED.encode() + b"}\nkind: Secret\ndata: {<<: *x}\n", readable=False
    ),
    "late merge": Shape(_yaml("immutable: true", rest="<<: {kind: Secret}\n"), readable=False),
    # encodings and line ends
    "UTF-16 with BOM": Shape(_PLAIN.decode().encode("utf-16"), readable=False),
    "UTF-16 LE": Shape(_PLAIN.decode().encode("utf-16-le"), readable=False),
    "UTF-16 BE": Shape(_PLAIN.decode().encode("utf-16-be"), readable=False),
    "UTF-16 with an escape": Shape(_yaml(r'kind: "\x53ecret"').decode().encode("utf-16"), readable=False),
    **{
        f"second document in {encoding}": Shape(
            _CONFIG + b"---\n" + mark + _PLAIN.decode().encode(encoding), readable=False
        )
        for encoding, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"))
    },
    "UTF-32": Shape(_PLAIN.decode().encode("utf-32"), readable=False),
    "BOM": Shape(b"\xef\xbb\xbf" + _PLAIN),
    "CRLF": Shape(_PLAIN.replace(b"\n", b"\r\n")),
    "CR": Shape(_PLAIN.replace(b"\n", b"\r")),
    "Latin-1": Shape(_yaml("kind: Secret").replace(b"shop", b"sh\xf6p"), readable=False),
    "gzip": Shape(gzip.compress(_PLAIN, mtime=0), readable=False),
    # JSON
    "JSON": Shape(_json(_secret())),
    "indented JSON": Shape(json.dumps(_secret(), indent=2).encode()),
    "JSON with an escape": Shape(_json(_secret()).replace(b"Secret", b"\\u0053ecret")),
    "two JSON documents": Shape(_json(_secret()) + b"\n" + _json(_secret()), readable=False),
    "JSON with a duplicate key": Shape(
        _json(_secret()).replace(b'{"apiVersion', b'{"kind":"X","apiVersion', 1), readable=False
    ),
    "array": Shape(_json([_secret()])),
    "JSON cut short": Shape(_json(_secret())[:-1], readable=False),
    # Lists
    "List": Shape(_json({"apiVersion": "v1", "kind": "List", "items": [_secret()]})),
    "List with others": Shape(
        b"apiVersion: v1\nkind: List\nitems:\n"
        + b"".join(
            b"- " + one.rstrip(b"\n").replace(b"\n", b"\n  ") + b"\n" for one in (_CONFIG, _PLAIN, _CONFIG)
        )
    ),
    "SecretList, items without kind": Shape(
        _json({"apiVersion": "v1", "kind": "SecretList", "items": [{"data": {"password": ENCODED}}]})
    ),
    "nested Lists": Shape(
        _json(
            {"kind": "List", "items": [{"kind": "List", "items": [{"kind": "List", "items": [_secret()]}]}]}
        )
    ),
    "List of SecretList": Shape(
        _json({"kind": "List", "items": [{"kind": "SecretList", "items": [{"data": {"p": ENCODED}}]}]})
    ),
    "items without a kind of the List": Shape(_json({"items": [_secret()]})),
    "no kind at all": Shape(
        _json({"items": [{"metadata": {"name": "db"}, "data": {"p": ENCODED}, "type": "Opaque"}]})
    ),
    "a client's own names": Shape(
        _json(
            {
                "api_version": None,
                "kind": None,
                "metadata": {},
                "string_data": {"p": CANARY},
                "type": "Opaque",
            }
        )
    ),
    "SecretList with a mapping as items": Shape(
        _json({"kind": "SecretList", "items": {"a": {"data": {"password": ENCODED}}}})
    ),
    "OpenShift Template": Shape(
        _json({"apiVersion": "template.openshift.io/v1", "kind": "Template", "objects": [_secret()]})
    ),
    "inside another object": Shape(_json({"apiVersion": "e/v1", "kind": "Set", "spec": {"x": _secret()}})),
    "items of another kind": Shape(_json({"kind": "Set", "items": [_secret()]}), readable=False),
    # documents
    "second document": Shape(_CONFIG + b"---\n" + _PLAIN),
    "first document": Shape(_PLAIN + b"---\n" + _CONFIG),
    "between documents": Shape(_CONFIG + b"---\n" + _PLAIN + b"---\n" + _CONFIG),
    "separator with a comment": Shape(_CONFIG + b"---#\n" + _PLAIN, readable=False),
    **{
        f"separator {name}": Shape(
            _CONFIG + f'# x{start}--- "\n---{space}\n'.encode() + _PLAIN + f'---{space}\n# "\n'.encode(),
            readable=False,
        )
        for name, start, space in (
            ("with a no-break space", "\r", "\u00a0"),
            ("with an ideographic space", "\n", "\u3000"),
            ("with a next line", "\u2028", "\x85"),
        )
    },
    "separator behind a byte order mark": Shape(
        "---\n\ufeff--- ".encode() + _json(_secret()).replace(b": ", b":"), readable=False
    ),
    "end of a document": Shape(_CONFIG + b"...\n" + _PLAIN, readable=False),
    # places of the value
    "stringData": Shape(_json(_secret(data=None, stringData={"password": CANARY}))),
    "block of a value": Shape(
        b"kind: Secret\nstringData:\n  config: |  # " + CANARY.encode() + b"\n    " + CANARY.encode() + b"\n"
    ),
    "Base64 on several lines": Shape(
        f"kind: Secret\ndata:\n  p: |\n    {ENCODED[:8]}\n    {ENCODED[8:]}\n".encode()
    ),
    "data is a text": Shape(_json(_secret(data=ENCODED))),
    "data is a list": Shape(_json(_secret(data=[CANARY, {"a": [ENCODED]}]))),
    "unknown field": Shape(_json(_secret(spec={"password": CANARY}))),
    "other spelling of data": Shape(_json(_secret(Data={"password": ENCODED}))),
    "comment": Shape(b"# " + CANARY.encode() + b"\n" + _PLAIN + b"# old: " + ENCODED.encode() + b"\n"),
    "comment behind a value": Shape(_PLAIN + b"type: Opaque # " + CANARY.encode() + b"\n"),
    "Secret in a comment": Shape(_CONFIG + b"# kind: Secret\n# data: {p: " + ENCODED.encode() + b"}\n"),
    "last-applied": Shape(
        _json(
            _secret(
                metadata={
                    "name": "db",
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": _APPLIED, "a": "b"},
                }
            )
        )
    ),
    "copies in annotations": Shape(
        _json(
            _secret(
                metadata={
                    "name": "db",
                    "annotations": {
                        "objectset.rio.cattle.io/applied": _GZIPPED,
                        "openshift.io/token-secret.value": CANARY,
                        "example.com/was": f"password {CANARY}",
                        "example.com/copy": _APPLIED,
                    },
                }
            )
        )
    ),
    "copies in metadata": Shape(
        _json(
            _secret(
                metadata={
                    "name": "db",
                    "labels": {"a": "b", "copy": CANARY},
                    "annotations": {"example.com/encoded": f"x{ENCODED}"},
                    "data": {"password": ENCODED},
                    "managedFields": [{"manager": CANARY}],
                    "ownerReferences": [{"kind": "A", "name": CANARY}],
                },
                data=None,
                stringData={"password": CANARY},
            )
        )
    ),
    **{
        f"copies in the metadata of a {kind}": Shape(
            _json(
                {
                    "apiVersion": f"{kind}.example.com/v1",
                    "kind": kind,
                    "metadata": {"name": "t", "annotations": {key: copy, "a": "b"}},
                    **fields,
                }
            )
        )
        for kind, fields in (
            ("Template", {"objects": [_secret(data=None, stringData={"password": CANARY})]}),
            ("ManifestWork", {"spec": {"workload": {"manifests": [_secret()]}}}),
        )
        for key, copy in (
            ("kubectl.kubernetes.io/last-applied-configuration", _APPLIED),
            ("objectset.rio.cattle.io/applied", _GZIPPED),
            ("example.com/copy", f"x {CANARY}"),
            ("example.com/encoded", f"x {ENCODED}"),
        )
    },
    "copy without the line break": Shape(
        _json(
            _secret(
                metadata={"name": "db", "annotations": {"a": f"x {CANARY}"}, "labels": {"a": CANARY}},
                data={"password": base64.b64encode(f"{CANARY}\n".encode()).decode()},
            )
        )
    ),
    "copy in the metadata of a List": Shape(
        _json(
            {
                "kind": "List",
                "metadata": {"annotations": {"example.com/last-applied": _APPLIED}},
                "items": [_secret()],
            }
        )
    ),
    **{
        f"merged mapping {name}": Shape(content.encode(), readable=False)
        for name, content in (
            ("in data", f"kind: Secret\ndata:\n  <<: {{p: {ENCODED}}}\n  p: eA==\n"),
            ("in a list", f"kind: Secret\ndata:\n  <<: [{{p: eQ==}}, {{p: {ENCODED}}}]\n  a: eA==\n"),
            ("at the top", f"<<: {{data: {{p: {ENCODED}}}}}\nkind: Secret\ndata: {{p: eA==}}\n"),
        )
    },
    "text in another document": Shape(_PLAIN + f"---\n{CANARY}\n".encode(), readable=False),
    "name of an anchor": Shape(f"kind: Secret\ndata: &{CANARY}\n  p: {ENCODED}\n".encode(), readable=False),
    "Secret in a comment, with many spaces": Shape(
        _CONFIG + b"# kind:" + b" " * 20 + b"Secret\n# data: {p: " + ENCODED.encode() + b"}\n"
    ),
    "Secret in a comment, on two lines": Shape(
        _CONFIG + b"# kind:\n#   Secret\n# data: {p: " + ENCODED.encode() + b"}\n"
    ),
    "no kind, with an owner": Shape(
        f"metadata:\n  name: db\n  ownerReferences:\n  - kind: Certificate\n    name: c\n"
        f"type: istio.io/key-and-cert\ndata:\n  p: {ENCODED}\n".encode()
    ),
    "no kind, with an owner, in JSON": Shape(
        _json(
            {
                "metadata": {"ownerReferences": [{"kind": "Certificate"}]},
                "type": "istio.io/key",
                "data": {"p": ENCODED},
            }
        )
    ),
    "no kind, behind another document": Shape(
        b"kind: Pod\n---\nmetadata: {name: a}\ntype: t\ndata:\n  p: " + ENCODED.encode() + b"\n"
    ),
    "no kind, in a list": Shape(
        b"kind: List\nitems:\n- metadata: {name: a}\n  type: t\n  data:\n    p: " + ENCODED.encode() + b"\n"
    ),
    "Helm 3": Shape(_json(_secret(type="helm.sh/release.v1", data={"release": _TWICE}))),
    "Helm 2": Shape(
        _json(
            {
                "kind": "ConfigMap",
                "metadata": {"name": "r.v1", "labels": {"OWNER": "TILLER"}},
                "data": {"release": _GZIPPED},
            }
        )
    ),
    # not readable, but the path says what it is
    "text at the path of a Secret": Shape(CANARY.encode(), readable=False, path="c1/shop/secrets/db.txt"),
    "settings at the path of a Secret": Shape(_json({"password": CANARY}), path="c1/shop/secrets.yaml"),
    "not YAML": Shape(b"kind: Secret\n\tdata: " + ENCODED.encode(), readable=False),
    "too large": Shape(_PLAIN + b"# " + b"x" * (2 * 1024 * 1024), readable=False),
}
