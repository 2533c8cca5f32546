"""The container image: its Dockerfile, and on request the image itself.

SYNC_TEST_IMAGE=1 builds the image and tests it; SYNC_TEST_IMAGE=archive.tar tests an existing image. Both
need root to unpack the image and to chroot into it.
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
REQUESTED = os.environ.get("SYNC_TEST_IMAGE", "")


# -- the Dockerfile -------------------------------------------------------------------------------


def test_dockerignore_allows_only_the_copied_paths() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert (rules[0], rules[-1]) == ("*", "**/__pycache__")
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(rules[1:-1]) == sorted(f"!{path}" for line in copies for path in line.split())


def test_dockerfile_installs_only_packages_locked_by_hash() -> None:
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


def test_final_stage_installs_only_runtime_packages() -> None:
    _, final = STAGES
    (packages,) = re.findall(r"apt-get install --yes --no-install-recommends ([^&]+) &&", final)
    assert packages.split() == ["ca-certificates", "git", "libnss-wrapper", "openssh-client", "python3"]
    assert re.findall(r"COPY --from=.*", final) == ["COPY --from=build /opt/git-sync /opt/git-sync"]
    assert not re.search(r"\bpip\b|venv|setuptools", final)
    assert f"\nUSER {OWN_USER}:{OWN_USER}\n" in final, "Kubernetes' runAsNonRoot needs a number"


def test_image_labels_match_pyproject() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\S+)="([^"]*)"', STAGES[1]))
    assert labels["title"] == PROJECT["name"]
    assert labels["description"] == PROJECT["description"]
    assert labels["licenses"] == PROJECT["license"]


def test_images_build_knows_the_suite_of_the_default_base() -> None:
    (suite,) = re.findall(r"^ARG BASE=docker\.io/library/debian:(\w+)-slim$", DOCKERFILE, re.MULTILINE)
    assert re.search(rf"\[{suite}\]=3\.\d+\b", (ROOT / "images/build").read_text())


# -- the image ------------------------------------------------------------------------------------

needs_image = pytest.mark.skipif(
    not REQUESTED, reason="building the image takes a minute; set SYNC_TEST_IMAGE=1"
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Image]:
    """Build the image once for all processes of this test run."""
    shared = (
        tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    )
    archive = shared / "image.tar" if REQUESTED == "1" else Path(REQUESTED)
    with (shared / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if REQUESTED == "1" and not archive.exists():
            subprocess.run(
                [ROOT / "images/build"],
                env=os.environ | {"IMAGE": "git-sync:test", "OUTPUT": str(archive)},
                check=True,
            )
    with TemporaryDirectory(prefix="image-") as directory:
        yield Image.unpack(archive, Path(directory))


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    """Create a directory like the emptyDir for /tmp."""
    path = tmp_path / "tmp"
    path.mkdir()
    path.chmod(0o1777)
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Create a volume as Kubernetes prepares it for fsGroup: owned by root, and writable for the group."""
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
@pytest.mark.parametrize("user", [OWN_USER, 12345, 1000660000])  # the last as on OpenShift
def test_image_runs_as_any_user_with_a_read_only_root(
    image: Image, tmp: Path, workspace: Path, user: int
) -> None:
    ran = image.run("--version", user=user, group=OWN_USER, tmp=tmp, workspace=workspace)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split()[-1] == __version__ == PROJECT["version"]
    assert not list(tmp.iterdir())


@needs_image
@pytest.mark.parametrize("user", [OWN_USER, 12345, 1000660000])  # the last as on OpenShift
def test_image_syncs_over_ssh_as_any_user(  # ssh requires a user name
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
def test_image_syncs_over_https_without_writing_the_token_to_a_file(
    image: Image, tmp: Path, workspace: Path, sync: Sync, ca: trustme.CA
) -> None:
    sync.bucket.put("clusterbackup/east/a.yaml", b"a")
    ca.cert_pem.write_to_path(str(tmp / "ca.pem"))
    temporary: list[Path] = []
    with https_git_server(sync.repository.parent, ca, TOKEN) as server:
        server.before = lambda _: temporary.extend(path for path in tmp.rglob("*") if path.is_file())
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
    assert set(temporary) == {tmp / "ca.pem"}
    assert [path.name for path in tmp.iterdir()] == ["ca.pem"]
    written = [path for path in workspace.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


@needs_image
def test_image_has_a_numeric_user_and_no_settings(image: Image) -> None:
    assert image.config["User"] == f"{OWN_USER}:{OWN_USER}"
    known = {setting.name for setting in catalogue()}
    assert not known & {entry.partition("=")[0] for entry in image.config["Env"]}


@needs_image
def test_image_adds_less_than_250_mb_to_its_base(image: Image) -> None:
    base, *added = (size / 1e6 for size in image.layer_bytes)
    assert sum(added) < 250, (
        f"base {base:.0f} MB, total {base + sum(added):.0f} MB, added {sum(added):.0f} MB"
    )


@needs_image
def test_image_has_only_the_locked_python_packages(image: Image) -> None:
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
def test_image_has_no_build_tools_and_no_sources(image: Image) -> None:
    tools = re.compile(r"(.*-)?(pip|easy_install|gcc|g\+\+|cc|cpp|ld|as|make)[\d.-]*")
    programs = [path for path in paths(image) if path.parent.name in {"bin", "sbin"}]
    assert programs
    assert not [inside(image, path) for path in programs if tools.fullmatch(path.name)]
    assert not [inside(image, path) for path in paths(image) if path.name in {"ensurepip", "setuptools"}]
    assert not [inside(image, path) for path in paths(image) if path.suffix == ".whl"]
    assert not {"src", "tools"} & {path.name for path in image.root.iterdir()}


@needs_image
def test_image_has_no_setuid_programs(image: Image) -> None:
    setuid_bits = stat.S_ISUID | stat.S_ISGID
    assert not [
        inside(image, path)
        for path in paths(image)
        if stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_mode & setuid_bits
    ]


@needs_image
def test_image_files_are_writable_only_for_root(image: Image) -> None:
    world_writable = []
    for path in paths(image):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) != (OWN_USER, OWN_USER), inside(image, path)
        if not path.is_symlink() and status.st_mode & stat.S_IWOTH:
            world_writable.append(inside(image, path))
    assert set(world_writable) <= {"/tmp", "/var/tmp", "/run/lock", "/workspace"}


@needs_image
def test_image_has_compiled_bytecode(image: Image) -> None:
    (package,) = image.root.glob("opt/git-sync/lib/python3.*/site-packages/steps")
    sources = list(package.rglob("*.py"))
    assert len(sources) > 20
    for source in sources:
        assert list(source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc")), source
