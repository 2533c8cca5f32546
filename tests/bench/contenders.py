"""The contenders: git-sync, and equivalent shell scripts with s5cmd and rclone."""

from __future__ import annotations

import shlex
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from obstore.store import S3Store

from steps.clients.git.config import environment
from steps.kubernetes.policy import Policy, VolatileFields
from steps.runtime.settings.reading import Needs, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "git-sync-bench/"


@dataclass(frozen=True)
class Site:
    """The bucket and the repository; ``settings`` are the settings of git-sync."""

    settings: Mapping[str, str]

    @property
    def repository(self) -> str:
        return self.settings["GIT_REPOSITORY"]

    @property
    def s3_url(self) -> str:
        scheme = "http" if self.settings.get("MINIO_USE_SSL", "true") == "false" else "https"
        return f"{scheme}://{self.settings['MINIO_ENDPOINT']}"

    def git_environment(self, directory: Path) -> dict[str, str]:
        """Return the environment in which git can access the repository; ``directory`` is for its files."""
        settings = read({**self.settings, "WORK_DIR": str(directory)}, Needs.MINIO, Needs.GIT)
        private = directory / "private"
        private.mkdir(exist_ok=True)
        gitconfig = private / "gitconfig"
        # Without gc, which would run in the background and slow down the next measurement.
        gitconfig.write_text(
            "[user]\n\tname = bench\n\temail = bench@localhost\n[gc]\n\tauto = 0\n[safe]\n\tdirectory = *\n"
        )
        return {"PATH": _PATH, **environment(settings.git, private, gitconfig)}

    @property
    def region(self) -> str:
        return self.settings.get("MINIO_REGION", "us-east-1")

    def store(self) -> S3Store:
        """Return an S3 client for the bench itself."""
        client: dict[str, Any] = {"allow_http": True, "timeout": timedelta(minutes=1)}
        if "MINIO_CA_FILE" in self.settings:
            client["root_certificate"] = Path(self.settings["MINIO_CA_FILE"]).read_bytes()
        return S3Store(
            self.settings["MINIO_BUCKET"],
            config={
                "endpoint": self.s3_url,
                "access_key_id": self.settings["MINIO_ACCESS_KEY"],
                "secret_access_key": self.settings["MINIO_SECRET_KEY"],
                "region": self.region,
                "virtual_hosted_style_request": False,
            },
            client_options=cast("Any", client),
        )


class Invocation(NamedTuple):
    """One command, with its complete environment."""

    command: list[str]
    environment: dict[str, str]


_KEEP = Policy()


@dataclass(frozen=True)
class Contender:
    """``invoke`` gets a site, a directory for this round, the branch, and approvals of deletions.

    Only git-sync needs approvals. ``reads`` is the contender whose branch is read, if it is another one.
    ``policy`` says what it writes of each object.
    """

    name: str
    invoke: Callable[[Site, Path, str, list[str]], Invocation]
    reads: str = ""
    policy: Policy = _KEEP


def _program(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; run `make bench`")
    return found


def _git_sync(site: Site, directory: Path, branch: str, approvals: list[str]) -> Invocation:
    options = [option for approval in approvals for option in ("--allow-delete", approval)]
    return Invocation(
        [_program("git-sync"), "run", *options],
        {
            "PATH": _PATH,
            **site.settings,
            "MINIO_PREFIX": PREFIX,
            "GIT_BRANCH": branch,
            "WORK_DIR": str(directory / "workspace"),
            "LOG_FORMAT": "json",
            "RETRY_ATTEMPTS": "1",
        },
    )


def _stripping(site: Site, directory: Path, branch: str, approvals: list[str]) -> Invocation:
    command, environment = _git_sync(site, directory, branch, approvals)
    return Invocation(command, {**environment, "VOLATILE_FIELDS": "strip"})


_ROOT = Path(__file__).parents[2]
_PATH = "/usr/local/bin:/usr/bin:/bin"

# The clone is kept between runs. The script pulls nothing, checks nothing and retries nothing.
_SCRIPT = """
set -eu
if [ ! -d clone ]; then
    git init --quiet --initial-branch={branch} clone
    git -C clone remote add origin {repository}
    mkdir clone/clusterbackup
fi
{sync}
cd clone
git add --all
git diff --cached --quiet || {{
    git commit --quiet --message="Automated backup sync - $(date --utc)"
    git push --quiet origin HEAD:refs/heads/{branch}
}}
"""


def _ours(module: str) -> Callable[[Site, Path, str, list[str]], Invocation]:
    """Return a contender that runs a module of the bench with git-sync's settings."""

    def invoke(site: Site, directory: Path, branch: str, approvals: list[str]) -> Invocation:
        (_, *command), settings = _git_sync(site, directory, branch, approvals)
        command = [sys.executable, "-m", module, str(directory / "phases.json"), *command]
        return Invocation(command, {**settings, "PYTHONPATH": str(_ROOT)})

    return invoke


def _script(sync: str) -> Callable[[Site, Path, str, list[str]], Invocation]:
    def invoke(site: Site, directory: Path, branch: str, _approvals: list[str]) -> Invocation:
        source = f"{site.settings['MINIO_BUCKET']}/{PREFIX}"
        script = _SCRIPT.format(
            branch=shlex.quote(branch),
            repository=shlex.quote(site.repository),
            sync=sync.format(source=shlex.quote(source), s5cmd=_program("s5cmd"), rclone=_program("rclone")),
        )
        return Invocation(
            ["bash", "-c", script],
            {
                **site.git_environment(directory),
                "AWS_ACCESS_KEY_ID": site.settings["MINIO_ACCESS_KEY"],
                "AWS_SECRET_ACCESS_KEY": site.settings["MINIO_SECRET_KEY"],
                "AWS_REGION": site.region,
                "S3_ENDPOINT_URL": site.s3_url,
                "AWS_CA_BUNDLE": site.settings.get("MINIO_CA_FILE", ""),
                "RCLONE_CONFIG": "",
                "RCLONE_CONFIG_BUCKET_TYPE": "s3",
                "RCLONE_CONFIG_BUCKET_PROVIDER": "Minio",
                "RCLONE_CONFIG_BUCKET_ENV_AUTH": "true",
                "RCLONE_CONFIG_BUCKET_ENDPOINT": site.s3_url,
                "RCLONE_CONFIG_BUCKET_REGION": site.region,
                "RCLONE_CA_CERT": site.settings.get("MINIO_CA_FILE", ""),
            },
        )

    return invoke


CONTENDERS = (
    Contender("git-sync", _git_sync),
    Contender("s5cmd", _script("{s5cmd} --log error sync --delete s3://{source}'*' clone/clusterbackup/")),
    Contender("rclone", _script("{rclone} sync bucket:{source} clone/clusterbackup/")),
    # Tuned: without a HEAD request for each object, and with one recursive listing.
    Contender(
        "rclone-tuned",
        _script("{rclone} sync --fast-list --use-server-modtime bucket:{source} clone/clusterbackup/"),
    ),
    # A lower bound of a run without changes.
    FLOOR := Contender("floor", _ours("tests.bench.floor"), reads="git-sync"),
)
# Compared with git-sync only, if CONTENDERS names it.
STRIP = Contender("git-sync-strip", _stripping, policy=Policy(VolatileFields.STRIP))
# Not compared with the others: it measures the phases of git-sync.
PROFILED = Contender("profiled", _ours("tests.bench.phases"))
