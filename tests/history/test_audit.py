"""docs/audit.md: every command is executed, and prints what the page says.

`python -m tests.history.test_audit` writes the output of the commands into the page.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.backups import Backups
from tests.support.program import git_sync

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
BLOCK = re.compile(r"```console\n\$ git-sync (.*)\n((?:(?!```).*\n)*)```")

RBAC = "apiVersion: rbac.authorization.k8s.io/v1\n"
EAST, WEST = "production-east", "production-west"


def workload(image: str, replicas: int) -> bytes:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: cart, namespace: shop, resourceVersion: "{replicas}"}}
spec: {{replicas: {replicas}, template: {{spec: {{containers: [{{name: main, image: "cart:{image}"}}]}}}}}}
""".encode()


def role(verbs: str) -> bytes:
    return f"""\
{RBAC}kind: Role
metadata: {{name: ci, namespace: payments}}
rules: [{{apiGroups: [""], resources: [pods], verbs: [get, list]}}{verbs}]
""".encode()


def binding(kind: str, name: str, role_: str, subject: str) -> bytes:
    return f"""\
{RBAC}kind: {kind}
metadata: {{name: {name}}}
roleRef: {{kind: {role_.replace("/", ", name: ")}}}
subjects: [{subject}]
""".encode()


def secret(value: str) -> bytes:
    return f"""\
apiVersion: v1
kind: Secret
metadata: {{name: db, namespace: payments}}
data: {{user: Ym9i, password: {value}}}
""".encode()


POLICY = b"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: shop}\n"
ADMIN = f"{RBAC}kind: ClusterRole\nmetadata: {{name: cluster-admin}}\n".encode()
ADMIN += b'rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]\n'


def example(directory: Path) -> Backups:
    """Two clusters in June and July."""
    found = Backups.at(directory)
    both = (EAST, WEST)
    found.sync(
        "2025-06-30T22:06:58Z",
        {
            **{f"{cluster}/shop/Deployment/cart.yaml": workload("1.4", 2) for cluster in both},
            **{f"{cluster}/shop/NetworkPolicy/deny.yaml": POLICY for cluster in both},
            f"{EAST}/payments/Role/ci.yaml": role(""),
            f"{EAST}/payments/RoleBinding/ci.yaml": binding(
                "RoleBinding", "ci", "Role/ci", "{kind: ServiceAccount, name: deployer, namespace: ci}"
            ),
            f"{EAST}/payments/Secret/db.yaml": secret("b2xk"),
            f"{EAST}/cluster/ClusterRole/cluster-admin.yaml": ADMIN,
        },
    )
    found.sync("2025-07-08T22:06:58Z", {f"{EAST}/shop/Deployment/cart.yaml": workload("1.5", 2)}, listed=both)
    found.sync(
        "2025-07-12T22:06:58Z",
        {
            f"{EAST}/payments/Role/ci.yaml": role(
                ', {apiGroups: [""], resources: [secrets], verbs: [get, list]}'
            ),
            f"{EAST}/payments/Secret/db.yaml": secret("bmV3"),
        },
        listed=both,
    )
    found.sync(
        "2025-07-31T22:06:58Z",
        {
            f"{EAST}/shop/NetworkPolicy/deny.yaml": None,
            f"{EAST}/shop/Deployment/cart.yaml": workload("1.5", 3),
            f"{EAST}/cluster/ClusterRoleBinding/ops.yaml": binding(
                "ClusterRoleBinding", "ops", "ClusterRole/cluster-admin", "{kind: Group, name: ops}"
            ),
        },
        listed=both,
    )
    return found


def printed(command: str, backups: Backups) -> str:
    """Return the output of a command of the page."""
    arguments = [*shlex.split(command), "--repo", str(backups.directory)]
    done = git_sync(*arguments)
    done.check_returncode()
    return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines()) + "\n"


def test_commands_of_the_audit_page_print_what_it_says(tmp_path: Path) -> None:
    backups = example(tmp_path / "backups.git")
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 10
    for command, expected in blocks:
        assert printed(command, backups) == expected, command


def main() -> None:
    """Write the output of the commands into the page."""
    with TemporaryDirectory() as directory:
        backups = example(Path(directory) / "backups.git")
        text = BLOCK.sub(
            lambda found: f"```console\n$ git-sync {found[1]}\n{printed(found[1], backups)}```",
            PAGE.read_text(),
        )
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
