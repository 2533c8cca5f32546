"""Objects in normal form, and the differences of two versions."""

from __future__ import annotations

import base64
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from steps.kubernetes import normal
from steps.kubernetes.fields import parse_path
from steps.kubernetes.normal import MAX_LINES, visible
from steps.kubernetes.objects import Identity, KubernetesObject, Unreadable, read_objects
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.secrets import SecretsPolicy
from steps.kubernetes.volatile import Rule
from tests.support.secret_shapes import PROBES, SHAPES

CANARY = "c4n4ry-s3cr3t"
CANARIES = (CANARY, base64.b64encode(CANARY.encode()).decode())


SECRETS_POLICY = SecretsPolicy(SecretsMode.REDACT)
PATH = "c1/shop/x.yaml"


def normal_lines(
    one: KubernetesObject, policy: SecretsPolicy = SECRETS_POLICY, path: str = PATH
) -> list[str]:
    found, _ = visible(one, None, policy, (path,))
    assert found
    return normal.normal_lines(found)


def diff_lines(
    before: KubernetesObject | None,
    after: KubernetesObject | None,
    policy: SecretsPolicy = SECRETS_POLICY,
    path: str = PATH,
) -> list[str]:
    return normal.diff_lines(*visible(before, after, policy, (path,)))


def one(text: str) -> KubernetesObject:
    (found,) = read_objects(text.encode())
    return found


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop, resourceVersion: "%s", annotations: {note: "%s"}}
spec:
  replicas: %s
  template: {spec: {containers: [{name: main, image: "cart:1", args: ["yes", "8", 8, true, null]}]}}
status: {readyReplicas: 1}
"""


def test_normal_form_is_sorted_and_has_no_volatile_fields() -> None:
    lines = normal_lines(one(DEPLOYMENT % (1, "x", 2)))
    assert lines == [
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata:",
        "  annotations:",
        "    note: x",
        "  name: cart",
        "  namespace: shop",
        "spec:",
        "  replicas: 2",
        "  template:",
        "    spec:",
        "      containers:",
        "      - args:",
        '        - "yes"',
        '        - "8"',
        "        - 8",
        "        - true",
        "        - null",
        "        image: cart:1",
        "        name: main",
    ]
    assert yaml.safe_load("\n".join(lines))["spec"]["replicas"] == 2


def test_diff_has_the_changed_lines_with_their_context() -> None:
    found = diff_lines(one(DEPLOYMENT % (1, "x", 2)), one(DEPLOYMENT % (2, "x", 3)))
    assert found == [
        "@@ -6,7 +6,7 @@",
        "   name: cart",
        "   namespace: shop",
        " spec:",
        "-  replicas: 2",
        "+  replicas: 3",
        "   template:",
        "     spec:",
        "       containers:",
    ]
    assert diff_lines(one(DEPLOYMENT % (1, "x", 2)), one(DEPLOYMENT % (2, "x", 2))) == []
    assert all(line[0] == "+" for line in diff_lines(None, one(DEPLOYMENT % (1, "x", 2))))
    assert all(line[0] == "-" for line in diff_lines(one(DEPLOYMENT % (1, "x", 2)), None))


def test_lines_of_a_text_are_compared_one_by_one() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  conf: |\n    a=1\n    b=%d\n"
    assert diff_lines(one(text % 1), one(text % 2))[-7:-1] == [
        "   conf: |",
        "     a=1",
        "-    b=1",
        "+    b=2",
        " kind: ConfigMap",
        " metadata:",
    ]


SECRETS = [
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: %s, user: bob}\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {password: '%s'}\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {openshift.io/token: '%s'}}\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a, other: {deep: ['%s']}}\ndata: ['%s']\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstrange: {x: {y: '%s'}}\n",
    "apiVersion: v1\nkind: SecretList\nitems:\n- metadata: {name: a}\n  data: {password: '%s'}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {OWNER: TILLER}}\ndata: {release: '%s'}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {owner: helm}}\ndata: {release: '%s'}\n",
    "data: {password: '%s'}\n",
    "['%s']\n",
    "kind: Template\nobjects: [{kind: ConfigMap}, {kind: Secret, stringData: {password: '%s'}}]\n",
    "kind: App\nspec: {secret: {kind: Secret, data: '%s', metadata: {annotations: {a: '%s'}}}}\n",
    "kind: A\nmetadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: '%s'}}\n",
]


@pytest.mark.parametrize("text", SECRETS)
def test_values_of_secrets_are_never_shown(text: str) -> None:
    for canary in CANARIES:
        values = [canary] * text.count("%s")
        others = ["another"] * text.count("%s")
        before, after = one(text % tuple(values)), one(text % tuple(others))
        lines = [*normal_lines(before), *diff_lines(before, after), *diff_lines(after, before)]
        lines += [*diff_lines(None, before), *diff_lines(before, None), *diff_lines(before, before)]
        assert canary not in "\n".join(lines)
        assert "another" not in "\n".join(lines)


@pytest.mark.parametrize("name", SHAPES)
def test_no_value_of_any_shape_is_shown(name: str) -> None:
    shape = SHAPES[name]
    try:
        found = read_objects(shape.content)
    except Unreadable:
        assert not shape.readable
        return
    for one in found:
        lines = [*normal_lines(one, path=shape.path), *diff_lines(one, None, path=shape.path)]
        shown = "\n".join(lines).encode()
        assert not [probe for probe in PROBES if probe in shown]


def test_fields_that_a_rule_names_are_hidden_with_copies_of_the_object() -> None:
    rule = Rule(("Database",), secret=(parse_path("spec.users[*].password"),))
    policy = SecretsPolicy(SecretsMode.REDACT, rules=(rule,))
    text = (
        "kind: Database\nmetadata: {name: a, annotations: {kubectl.kubernetes.io/last-handled: '{%s}'}}\n"
        "spec: {users: [{name: bob, password: %s}, {name: eve, password: same}]}\n"
    )
    before, after = one(text % ("old", "old")), one(text % ("new", "new"))
    found = diff_lines(before, after, policy)
    assert not {"old", "new", "same"}.intersection(" ".join(found).split())
    assert "-    password: (hidden, value before)" in found
    assert "+    password: (hidden, value after)" in found
    assert "   - name: bob" in found
    assert "     password: (hidden)" in found


def test_diff_of_a_secret_shows_names_and_equality() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {user: Ym9i, password: %s}\n"
    assert diff_lines(one(text % "YQ=="), one(text % "Yg==")) == [
        "@@ -1,6 +1,6 @@",
        " apiVersion: v1",
        " data:",
        "-  password: (hidden, value before)",
        "+  password: (hidden, value after)",
        "   user: (hidden)",
        " kind: Secret",
        " metadata:",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_no_line_has_a_control_character(data: object) -> None:
    lines = normal_lines(KubernetesObject(Identity("", "X", "", "x"), {"spec": data}))
    assert all(line.isprintable() for line in lines)


def test_long_and_many_lines_are_bounded_in_size_and_time() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: %s}\nx: [%s]\n"
    before, after = (
        one(text % ("a" * 100_000, "1," * 80_000)),
        one(text % ("a" * 99_999 + "b", "2," * 80_000)),
    )
    start = time.process_time()
    found = diff_lines(before, after)
    assert time.process_time() - start < 5
    assert len(found) == MAX_LINES + 1
    assert max(map(len, found)) < 500
    assert found[1] != found[2]


def test_equal_lines_in_any_number_are_compared_in_time() -> None:
    text = "kind: X\nspec: [%s]\n"
    start = time.process_time()
    diff_lines(one(text % ("1,2," * 1400)), one(text % ("2,1,1," * 990)))
    assert time.process_time() - start < 5
