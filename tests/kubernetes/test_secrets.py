"""What becomes of Secrets: no value of a shape remains, and everything else does."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.kubernetes.fields import parse_path
from steps.kubernetes.objects import Reader, read_documents
from steps.kubernetes.policy import key_id
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.secrets import SecretsPolicy, Treated
from steps.kubernetes.volatile import Rule
from tests.support.growth import assert_linear
from tests.support.secret_shapes import CANARY, ENCODED, PROBES, SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = b"k" * 32
REDACT = SecretsPolicy(SecretsMode.REDACT, KEY)
EXCLUDE = SecretsPolicy(SecretsMode.EXCLUDE)
KEEP = SecretsPolicy(SecretsMode.KEEP)
PATH = "c1/shop/x.yaml"


def redacted(content: str, path: str = PATH, policy: SecretsPolicy = REDACT) -> str:
    """The content; it must be certain."""
    result = policy.treated(path, content.encode())
    assert result.reason == ""
    assert result.content is not None
    return result.content.decode()


def parsed(content: str) -> list[Any]:
    return read_documents(content, Reader())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("policy", [REDACT, EXCLUDE], ids=["redact", "exclude"])
def test_no_value_of_any_shape_remains(policy: SecretsPolicy, name: str) -> None:
    shape = SHAPES[name]
    result = policy.treated(shape.path, shape.content)
    assert not [probe for probe in PROBES if probe in (result.content or b"")]
    assert not [probe for probe in PROBES if probe in result.reason.encode()]
    if shape.readable:
        assert result.reason == ""
        assert result.secrets == (0 if name.startswith("Secret in a comment") else 1)
    elif policy is REDACT:
        assert result.reason
        assert result.content is None


@pytest.mark.parametrize("name", SHAPES)
def test_keep_counts_every_shape_and_keeps_its_bytes(name: str) -> None:
    shape = SHAPES[name]
    result = KEEP.treated(shape.path, shape.content)
    assert result == Treated(shape.content, 0 if name.startswith("Secret in a comment") else 1)


SECRET = f"""\
# from the vault
apiVersion: v1
kind: Secret
metadata:
  name: db
  labels: {{app: shop}} # stays
data:
  password: {ENCODED}
  user: |
    YWRtaW4=
type: Opaque
"""


def test_redact_replaces_values_and_keeps_every_other_byte_but_comments() -> None:
    result = redacted(SECRET)
    values = parsed(result)[0]["data"]
    assert all(value.startswith("redacted:") and len(value) == 41 for value in values.values())
    assert result == (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  labels: {app: shop}\ndata:\n"
        f'  password: "{values["password"]}"\n  user: "{values["user"]}"\ntype: Opaque\n'
    )


def test_redacted_value_depends_on_key_path_object_field_and_value() -> None:
    def value(
        name: str = "db", field: str = "p", text: str = "dmFsdWU=", path: str = PATH, key: bytes = KEY
    ) -> str:
        policy = SecretsPolicy(SecretsMode.REDACT, key)
        content = f"kind: Secret\nmetadata:\n  name: {name}\ndata:\n  {field}: {text}\n"
        return str(parsed(redacted(content, path, policy))[0]["data"][field])

    others = {
        value(),
        value(name="other"),
        value(field="q"),
        value(text="dmFsdWV4"),
        value(path="c2/shop/x.yaml"),
        value(key=b"x" * 32),
    }
    assert len(others) == 6
    assert value() == value(text='"dmFsdWU="')
    assert value() == "redacted:d973c88fd54a0c469b8f3d0cc453ca8e"


def test_two_secrets_of_one_name_and_value_in_one_file_are_not_alike() -> None:
    values = [one["data"]["password"] for one in parsed(redacted(SECRET + "---\n" + SECRET))]
    assert len(set(values)) == 2


def test_data_that_is_not_base64_is_redacted_as_it_is() -> None:
    plain = base64.b64encode(b"not Base64!").decode()
    first, second = (
        parsed(redacted(f"kind: Secret\ndata: {{p: {text}}}\n"))[0] for text in ("not Base64!", plain)
    )
    assert first != second


def test_exclude_removes_only_the_secret_of_a_file() -> None:
    other = "kind: ConfigMap\nmetadata:\n  name: a\n"
    assert redacted(f"{other}---\n{SECRET}---\n{other}", policy=EXCLUDE) == f"{other}---\n{other}"
    assert EXCLUDE.treated(PATH, SECRET.encode()) == Treated(None, 1)
    template = {"kind": "Template", "objects": [{"kind": "Secret"}, {"kind": "Service"}]}
    assert parsed(redacted(json.dumps(template), policy=EXCLUDE)) == [
        {"kind": "Template", "objects": [{"kind": "Service"}]}
    ]


@pytest.mark.parametrize(
    "content",
    [
        "kind: SealedSecret\nspec: {encryptedData: {p: Ag}, template: {type: Opaque, data: {a: '{b}'}}}\n",
        "kind: ExternalSecret\nspec: {target: {template: {metadata: {}, data: {a: '{{ .b }}'}}}}\n",
        "kind: Gateway\nspec:\n  certificateRefs:\n  - {kind: Secret, name: tls} # why\n",
        "kind: ConfigMap\ndata:\n  x: |\n    kind: Secret\n    # kind: Secret\n",
        "kind: Pod\nspec: {volumes: [{secret: {secretName: a}}]}\n",
        "kind: ServiceAccount\nsecrets: [{name: a}]\n",
        "kind: ConfigMap\nmetadata: {labels: {owner: me}}\ndata: {release: '1'}\n",
        "# Secret of the shop\nkind: Service\n",
        "a: [1\n",
        '{"dashboard": {"kind": "graph"}, "data": [1]}',
        "\\d+ kind",
    ],
)
@pytest.mark.parametrize("policy", [REDACT, EXCLUDE, KEEP], ids=["redact", "exclude", "keep"])
def test_file_without_a_secret_keeps_every_byte(policy: SecretsPolicy, content: str) -> None:
    assert policy.treated(PATH, content.encode()) == Treated(content.encode())


def test_helm_releases_are_omitted_by_redaction() -> None:
    for name in ("Helm 2", "Helm 3"):
        assert REDACT.treated(PATH, SHAPES[name].content) == Treated(None, 1)


DATABASE = """\
apiVersion: example.com/v1
kind: Database
metadata:
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"password":"hunter2"}'}
  name: a
spec:
  password: hunter2
  users: [{name: x, password: hunter2}, {name: z}]
"""


def named_fields(mode: SecretsMode, *kinds: str) -> SecretsPolicy:
    paths = tuple(map(parse_path, ("spec.password", "spec.users[*].password")))
    return SecretsPolicy(mode, KEY, (Rule(kinds, secret=paths),))


@pytest.mark.parametrize("kind", ["Database.example.com", "Database", "Data*", "*"])
def test_fields_that_rules_name_are_redacted(kind: str) -> None:
    result = redacted(DATABASE, policy=named_fields(SecretsMode.REDACT, kind))
    spec = parsed(result)[0]["spec"]
    assert "hunter2" not in result
    assert "last-applied" not in result
    assert spec["password"].startswith("redacted:")
    assert spec["users"][0]["name"] == "x"
    assert spec["users"][0]["password"] not in {spec["password"], "hunter2"}
    assert spec["users"][1] == {"name": "z"}


def test_fields_that_rules_name_are_excluded_alone() -> None:
    result = redacted(DATABASE, policy=named_fields(SecretsMode.EXCLUDE, "Database.example.com"))
    assert parsed(result)[0]["spec"] == {"users": [{"name": "x"}, {"name": "z"}]}
    other = named_fields(SecretsMode.EXCLUDE, "Database.example.org")
    assert other.treated(PATH, DATABASE.encode()) == Treated(DATABASE.encode())


@pytest.mark.parametrize("mode", [SecretsMode.REDACT, SecretsMode.EXCLUDE])
@pytest.mark.parametrize(
    ("path", "one"),
    [
        ("spec.password", {"metadata": {"annotations": {"x": f"is {CANARY}"}}, "spec": {"password": CANARY}}),
        ("metadata.annotations[x]", {"metadata": {"annotations": {"x": CANARY, "y": "z"}}}),
        ("spec.users[*].password", {"spec": {"users": {"bob": {"password": CANARY, "a": "b"}}}}),
        ("spec.password", {"items": [{"kind": "Pod"}], "spec": {"password": CANARY}}),
    ],
)
@pytest.mark.parametrize("place", ["file", "Template", "List"])
@pytest.mark.parametrize("kind", ["DatabaseList", "Secret"])
def test_fields_that_rules_name_are_found_everywhere(
    mode: SecretsMode, path: str, one: dict[str, Any], place: str, kind: str
) -> None:
    if kind == "Secret" and "items" in one:
        return
    policy = SecretsPolicy(mode, KEY, (Rule((kind,), secret=(parse_path(path),)),))
    data: dict[str, Any] = {"apiVersion": "example.com/v1", "kind": kind, **one}
    if place == "Template":
        data = {"kind": "Template", "metadata": {"annotations": {"x": f"a {CANARY}"}}, "objects": [data]}
    elif place == "List":
        data = {"kind": "List", "items": [data]}
    result = policy.treated(PATH, json.dumps(data).encode())
    assert (result.reason, result.secrets) == ("", 1)
    assert not [probe for probe in PROBES if probe in (result.content or b"")]


def test_key_is_shown_nowhere() -> None:
    assert KEY.decode() not in repr(REDACT)
    assert KEY.decode() not in key_id(KEY)
    assert key_id(KEY) != key_id(b"x" * 32)
    assert key_id(b"") == ""


TEXTS = st.sampled_from(["a", "1e3", "y", "08", "", "x: y", "ü", "a\nb\n", " b", "#", "kind: Secret", "\t"])
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["data", "stringData", "spec", "immutable", "x"]), VALUES), st.booleans()
)
@settings(max_examples=150, deadline=None)
def test_redaction_of_any_values_is_proven_or_refused(fields: dict[str, Any], as_list: bool) -> None:
    one = {"kind": "Secret", "metadata": {"name": "a"}, **fields}
    content = json.dumps({"kind": "List", "items": [one]} if as_list else one, ensure_ascii=False)
    result = REDACT.treated(PATH, content.encode())
    assert result.reason == ""
    assert result.content is not None
    after = json.loads(result.content)
    after = after["items"][0] if as_list else after
    assert set(after) == set(one)

    def check(before: Any, now: Any) -> None:
        if isinstance(before, dict):
            assert set(before) == set(now)
            for key, value in before.items():
                check(value, now[key])
        elif isinstance(before, list):
            for value, new in zip(before, now, strict=True):
                check(value, new)
        else:
            assert now is None if before is None else now.startswith("redacted:")

    for key, value in fields.items():
        if key != "immutable" or isinstance(value, dict | list):
            check(value, after[key])
    assert REDACT.treated(PATH, content.encode()) == result


def test_annotations_are_dropped_if_there_is_too_much_to_compare() -> None:
    values = "".join(f"  k{n}: value-number-{n}\n" for n in range(4000))
    notes = "".join(f"    n{n}: {'plain words ' * 10}\n" for n in range(100))
    metadata = f"metadata:\n  name: a\n  annotations:\n{notes}    short: abc\n"
    content = redacted(f"kind: Secret\n{metadata}stringData:\n{values}")
    assert "plain words" in content
    assert "    n99:" not in content
    assert "    short: abc\n" in content


_NAMED = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n"


@pytest.mark.parametrize(
    "make",
    [
        lambda n: f"kind: ConfigMap\nmetadata: {{name: Opaque}}\ndata: {{a: '{'#' * n * 20}'}}\n",
        lambda n: f"kind: ConfigMap\nmetadata: {{name: Opaque}}\ndata: {{a: '{'# kind: ' * n * 4}'}}\n",
        lambda n: f"{_NAMED}data: [{'1,' * n}1]\n",
        lambda n: f"{_NAMED}data:\n" + "".join(f"  k{i}: YQ==\n" for i in range(n)),
        lambda n: (
            f"{_NAMED}  annotations:\n"
            + "".join(f"    a{i}: {'x' * 50}\n" for i in range(n))
            + "data:\n"
            + "".join(f"  k{i}: YWJjZGVmZ2hpams{i:05d}\n" for i in range(n))
        ),
    ],
)
def test_time_to_treat_a_file_is_linear(make: Callable[[int], str]) -> None:
    assert_linear(lambda n: REDACT.treated(PATH, make(n).encode()), 1500)


def test_secret_with_a_long_name_and_many_values_is_not_written() -> None:
    content = f"kind: Secret\nmetadata:\n  name: {'n' * 500_000}\ndata: [{'1,' * 1000}1]\n"
    result = REDACT.treated(PATH, content.encode())
    assert (result.content, result.reason) == (None, "has too many values with long names")
