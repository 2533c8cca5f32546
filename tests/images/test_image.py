"""The container image: what its Dockerfile pins, and, where asked for, the image itself.

SYNC_TEST_IMAGE=1 builds the image and tests it, SYNC_TEST_IMAGE=archive.tar tests one that
was built before. Both need root, to unpack the image and to enter it.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from steps import __version__
from steps.runtime.settings.catalogue import catalogue
from tests.support.container import Image
from tests.support.gitserver import https_git_server
from tests.support.repositories import contents
from tests.support.sshserver import ssh_git_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trustme

    from tests.support.sync import Sync

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = re.sub(r"^#.*\n", "", (ROOT / "images/Dockerfile").read_text(), flags=re.MULTILINE)
STAGES = [
    re.sub(r"\s*\\\n\s*", " ", stage) for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
]

OWN_USER = 65532
TOKEN = "glpat-image-0123456789"
ASKED = os.environ.get("SYNC_TEST_IMAGE", "")


# -- the Dockerfile -----------------------------------------------------------------------------


def test_the_build_sees_what_the_dockerfile_copies_and_nothing_else() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert (rules[0], rules[-1]) == ("*", "**/__pycache__")
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(rules[1:-1]) == sorted(f"!{path}" for line in copies for path in line.split())


def test_what_is_installed_is_locked_by_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install ([^&]+?)(?= &&|\n|$)", STAGES[0])
    locked = [line for line in installs if "--requirement" in line]
    assert [re.findall(r"--requirement (\S+)", line) for line in locked] == [
        ["requirements/build.txt"],
        ["requirements/runtime.txt"],
    ]
    assert all("--require-hashes --no-deps" in line for line in locked)
    (own,) = [line for line in installs if line not in locked]
    assert "--no-index --no-deps" in own
    assert "pip wheel --no-deps --no-build-isolation" in STAGES[0]


def test_the_final_stage_installs_what_a_run_needs_and_builds_nothing() -> None:
    _, final = STAGES
    (packages,) = re.findall(r"apt-get install --yes --no-install-recommends ([^&]+) &&", final)
    assert packages.split() == ["ca-certificates", "git", "libnss-wrapper", "openssh-client", "python3"]
    assert re.findall(r"COPY --from=.*", final) == ["COPY --from=build /opt/git-sync /opt/git-sync"]
    assert not re.search(r"\bpip\b|venv|setuptools", final)
    assert f"\nUSER {OWN_USER}:{OWN_USER}\n" in final, "Kubernetes' runAsNonRoot needs a number"


def test_the_labels_say_what_the_project_says() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\S+)="([^"]*)"', STAGES[1]))
    assert labels["title"] == PROJECT["name"]
    assert labels["description"] == PROJECT["description"]
    assert labels["licenses"] == PROJECT["license"]


def test_the_default_base_can_be_made_of_packages() -> None:
    (suite,) = re.findall(r"^ARG BASE=docker\.io/library/debian:(\w+)-slim$", DOCKERFILE, re.MULTILINE)
    assert re.search(rf"\[{suite}\]=3\.\d+\b", (ROOT / "images/build").read_text())


# -- the image ----------------------------------------------------------------------------------

needs_image = pytest.mark.skipif(
    not ASKED, reason="building the image takes a minute: set SYNC_TEST_IMAGE=1 for it"
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Image]:
    """The image, built once for all processes of this test run."""
    shared = (
        tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    )
    archive = shared / "image.tar" if ASKED == "1" else Path(ASKED)
    with (shared / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ASKED == "1" and not archive.exists():
            subprocess.run(
                [ROOT / "images/build"],
                env=os.environ | {"IMAGE": "git-sync:test", "OUTPUT": str(archive)},
                check=True,
            )
    with TemporaryDirectory(prefix="image-") as directory:
        yield Image.unpack(archive, Path(directory))


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    """An emptyDir for /tmp."""
    path = tmp_path / "tmp"
    path.mkdir()
    path.chmod(0o1777)
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A volume as Kubernetes prepares it for a pod's fsGroup: root's, and the group may write."""
    path = tmp_path / "volume"
    path.mkdir()
    os.chown(path, 0, OWN_USER)
    path.chmod(0o2775)
    return path


def paths(image: Image) -> Iterator[Path]:
    return image.root.rglob("*")


def inside(image: Image, path: Path) -> str:
    return f"/{path.relative_to(image.root)}"


@needs_image
@pytest.mark.parametrize("user", [OWN_USER, 12345])
def test_it_runs_as_any_user_in_a_read_only_root(image: Image, tmp: Path, workspace: Path, user: int) -> None:
    ran = image.run("--version", user=user, group=OWN_USER, tmp=tmp, workspace=workspace)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split()[-1] == __version__ == PROJECT["version"]
    assert not list(tmp.iterdir())


@needs_image
@pytest.mark.parametrize("user", [OWN_USER, 12345])
def test_it_syncs_over_ssh_as_any_user(  # ssh refuses users without a name
    image: Image, tmp: Path, workspace: Path, user: int, sync: Sync
) -> None:
    sync.bucket.put_many({"clusterbackup/east/a.yaml": b"a", "clusterbackup/west/b.yaml": b"b"})
    with ssh_git_server(sync.repository.parent) as server:
        settings = {
            **sync.settings,
            "GIT_REPOSITORY": server.url_for(sync.repository),
            "SSH_KEY_PATH": "/tmp/id",
            "SSH_KNOWN_HOSTS_PATH": "/tmp/known_hosts",
            "WORK_DIR": "/workspace",
        }
        for name, source in {"id": server.key_path, "known_hosts": server.known_hosts_path}.items():
            (tmp / name).write_bytes(source.read_bytes())
            os.chown(tmp / name, user, user)
            (tmp / name).chmod(0o600)
        for _ in range(2):
            ran = image.run("run", user=user, group=OWN_USER, tmp=tmp, workspace=workspace, settings=settings)
            assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert contents(sync.repository) == {
        "clusterbackup/east/a.yaml": b"a",
        "clusterbackup/west/b.yaml": b"b",
    }


@needs_image
def test_it_syncs_over_https_with_a_token_that_no_file_holds(
    image: Image, tmp: Path, workspace: Path, sync: Sync, ca: trustme.CA
) -> None:
    sync.bucket.put("clusterbackup/east/a.yaml", b"a")
    ca.cert_pem.write_to_path(str(tmp / "ca.pem"))
    left: list[Path] = []
    with https_git_server(sync.repository.parent, ca, TOKEN) as server:
        server.before = lambda _: left.extend(path for path in tmp.rglob("*") if path.is_file())
        settings = {
            **sync.settings,
            "GIT_REPOSITORY": server.url_for(sync.repository),
            "GIT_TOKEN": TOKEN,
            "GIT_CA_FILE": "/tmp/ca.pem",
            "WORK_DIR": "/workspace",
        }
        ran = image.run("run", user=12345, group=OWN_USER, tmp=tmp, workspace=workspace, settings=settings)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert contents(sync.repository) == {"clusterbackup/east/a.yaml": b"a"}
    assert set(left) == {tmp / "ca.pem"}
    assert [path.name for path in tmp.iterdir()] == ["ca.pem"]
    written = [path for path in workspace.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


@needs_image
def test_it_starts_as_nobody_in_particular_and_knows_no_setting(image: Image) -> None:
    assert image.config["User"] == f"{OWN_USER}:{OWN_USER}"
    known = {setting.name for setting in catalogue()}
    assert not known & {entry.partition("=")[0] for entry in image.config["Env"]}


@needs_image
def test_it_adds_less_than_250_mb_to_its_base(image: Image) -> None:
    base, *added = (size / 1e6 for size in image.layer_bytes)
    assert sum(added) < 250, (
        f"base {base:.0f} MB, total {base + sum(added):.0f} MB, added {sum(added):.0f} MB"
    )


@needs_image
def test_its_python_packages_are_the_locked_ones_and_its_own(image: Image) -> None:
    lock = (ROOT / "requirements/runtime.txt").read_text()
    locked = {f"{name}-{version}" for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)}
    installed = {
        path.name.removesuffix(".dist-info") for path in paths(image) if path.name.endswith(".dist-info")
    }
    assert {canonical(name) for name in installed} == {
        canonical(name) for name in locked | {f"{PROJECT['name']}-{__version__}"}
    }


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@needs_image
def test_it_holds_neither_build_tools_nor_what_it_was_built_from(image: Image) -> None:
    tools = re.compile(r"(.*-)?(pip|easy_install|gcc|g\+\+|cc|cpp|ld|as|make)[\d.-]*")
    programs = [path for path in paths(image) if path.parent.name in {"bin", "sbin"}]
    assert programs
    assert not [inside(image, path) for path in programs if tools.fullmatch(path.name)]
    assert not [inside(image, path) for path in paths(image) if path.name in {"ensurepip", "setuptools"}]
    assert not [inside(image, path) for path in paths(image) if path.suffix == ".whl"]
    assert not {"src", "tools"} & {path.name for path in image.root.iterdir()}


@needs_image
def test_no_program_in_it_gains_rights(image: Image) -> None:
    gaining = stat.S_ISUID | stat.S_ISGID
    assert not [
        inside(image, path)
        for path in paths(image)
        if stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_mode & gaining
    ]


@needs_image
def test_nobody_but_root_may_change_it(image: Image) -> None:
    open_to_all = []
    for path in paths(image):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) != (OWN_USER, OWN_USER), inside(image, path)
        if not path.is_symlink() and status.st_mode & stat.S_IWOTH:
            open_to_all.append(inside(image, path))
    assert set(open_to_all) <= {"/tmp", "/var/tmp", "/run/lock", "/workspace"}


@needs_image
def test_its_bytecode_is_made(image: Image) -> None:
    (package,) = image.root.glob("opt/git-sync/lib/python3.*/site-packages/steps")
    sources = list(package.rglob("*.py"))
    assert len(sources) > 20
    for source in sources:
        assert list(source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc")), source
