"""The Git repository: its URL, branch and directory, and the credentials for it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, TypeAdapter, ValidationError

from steps.core import ssh_key
from steps.core.keys import rejection
from steps.runtime.settings.fields import Group, content, has_credentials, is_web_url, shown_path, unreadable
from steps.runtime.settings.proxy import ProxySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL = re.compile(r"(?P<scheme>https?|ssh|file)://(?P<rest>.+)", re.DOTALL)
_SCP = re.compile(
    r"(?:(?P<user>[A-Za-z0-9._-]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?!//)(?P<path>[^:-].*)"
)
# Matches git@host:org/repo and ssh://git@host:22/org/repo.
_SSH_PAGE = re.compile(r"(?:ssh://)?(?:[^@/]+@)?(\[[^\]]+\]|[^:/]+)(?::[0-9]+(?=/))?[:/]/?(.*)")


def _repository(text: str) -> str:
    if text == "":
        return text
    if re.search(r"\s", text) or text.startswith("-"):
        raise ValueError("must not contain white space or begin with a dash")
    if text.startswith("/"):
        return f"file://{text}"
    if match := _URL.fullmatch(text):
        try:
            parts = urlsplit(text)
            _ = parts.port  # raises for half a password, as in https://user:pass/word@host
        except ValueError:  # its message quotes the URL with the password
            hint = "; write ssh://user@host/path or user@host:path" if match["scheme"] == "ssh" else ""
            raise ValueError(f"is not a URL{hint}") from None
        credentials = parts.password is not None or (parts.scheme != "ssh" and parts.username is not None)
        if "@" in parts.netloc and credentials:
            raise ValueError("must not contain credentials; set GIT_TOKEN or GIT_TOKEN_FILE instead")
        if parts.query or parts.fragment:
            raise ValueError("must not have a query or a fragment")
        if match["scheme"] != "file" and not parts.hostname:
            raise ValueError("has no host")
        return text
    if "://" not in text and (match := _SCP.fullmatch(text)):
        if "@" in match["path"]:
            raise ValueError("must not contain credentials; use SSH_KEY_PATH for SSH, GIT_TOKEN for HTTPS")
        if number := re.match(r"[0-9]{1,5}(?=/)", match["path"]):
            host = f"{match['user']}@{match['host']}" if match["user"] else match["host"]
            rest = match["path"][number.end() :]
            raise ValueError(
                f"{number[0]} would be a directory; write ssh://{host}:{number[0]}{rest} for a port, "
                f"or ssh://{host}/{match['path']}"
            )
        return text
    raise ValueError("write it as https://…, ssh://…, user@host:path, file:///… or an absolute path")


def _scheme(repository: str | None) -> str | None:
    if not repository:
        return None
    if match := _URL.fullmatch(repository):
        return match["scheme"]
    return "file" if repository.startswith("/") else "ssh"


def _branch(text: str) -> str:
    # The rules of `git check-ref-format`, except some that no usual branch name needs.
    if (
        not re.fullmatch(
            r"(?!.*(\.\.|//|@\{|/\.|\.lock(/|$)))[^\x00-\x20\x7f~^:?*\[\\/.-][^\x00-\x20\x7f~^:?*\[\\]*(?<![/.])",
            text,
        )
        or text == "@"
        or text.startswith("refs/")
    ):
        raise ValueError(f"{text!r} is not a branch name; write it like main or backups/production-east")
    return text


def _path(text: str) -> str:
    path = text.strip("/")
    if not path:
        raise ValueError("must name a directory; git-sync cannot own the root of the repository")
    if reason := rejection(path):
        raise ValueError(f"is not a usable path ({reason}); write it like clusterbackup/")
    if path != re.sub(r"\s*/\s*", "/", path):
        raise ValueError("must not have white space around a slash")
    return f"{path}/"


def _author_text(text: str) -> str:
    if re.search(r"[<>]", text):
        raise ValueError("must not contain < or >")
    return text


def _commit_url(text: str) -> str:
    if not (is_web_url(text) and "{commit}" in text and not has_credentials(text)):
        raise ValueError("write it like https://git.example.com/your-org/backups/commit/{commit}")
    return text


Repository = Annotated[str, AfterValidator(_repository)]
Branch = Annotated[str, AfterValidator(_branch)]
Directory = Annotated[str, AfterValidator(_path)]
AuthorText = Annotated[str, AfterValidator(_author_text)]


class TargetSettings(Group):
    """Where commits go. Every step may have these; they are no secret."""

    repository: Repository | None = Field(
        alias="GIT_REPOSITORY",
        default=None,
        description="URL of the repository; the empty string selects download-only mode",
    )
    branch: Branch = Field(alias="GIT_BRANCH", default="main", description="branch to push to")
    path: Directory = Field(
        alias="GIT_PATH",
        default="clusterbackup/",
        description="directory of the repository that contains the clusters",
    )

    @property
    def scheme(self) -> str | None:
        """https, http, ssh or file; None without a repository."""
        return _scheme(self.repository)

    @property
    def download_only(self) -> bool:
        """Whether GIT_REPOSITORY is set to the empty string."""
        return self.repository == ""


class CommitPages(TargetSettings):
    """Where a browser shows a commit."""

    commit_url: Annotated[str, AfterValidator(_commit_url)] | None = Field(
        alias="GIT_COMMIT_URL",
        default=None,
        description="URL of a commit's page, with `{commit}` for its id; "
        "the default works for GitHub, GitLab and Gitea",
    )

    def commit_page(self, commit: str) -> str | None:
        """Return the URL of a commit's page; None if it cannot be derived."""
        if self.commit_url:
            return self.commit_url.replace("{commit}", commit)
        match self.scheme:
            case "https" | "http":
                base = self.repository or ""
            case "ssh":
                base = _SSH_PAGE.sub(r"https://\1/\2", self.repository or "")
            case _:
                return None
        return f"{base.rstrip('/').removesuffix('.git')}/commit/{commit}"


class GitSettings(TargetSettings, ProxySettings):
    """What git needs to fetch, commit and push."""

    repository: Repository = Field(
        alias="GIT_REPOSITORY", description=TargetSettings.model_fields["repository"].description
    )
    username: AuthorText = Field(
        alias="GIT_USERNAME", default="git-sync", description="author name of the commits"
    )
    email: AuthorText = Field(
        alias="GIT_EMAIL", default="git-sync@localhost", description="author address of the commits"
    )
    token: SecretStr | None = Field(
        alias="GIT_TOKEN", default=None, description="token for HTTPS; alternative: GIT_TOKEN_FILE"
    )
    token_file: Path | None = Field(
        alias="GIT_TOKEN_FILE", default=None, description="file with the token, read at every use"
    )
    token_user: str | None = Field(
        alias="GIT_TOKEN_USER",
        default=None,
        description="user name for the token; the default works for GitHub, GitLab and Gitea",
    )
    ca_file: Path | None = Field(
        alias="GIT_CA_FILE", default=None, description="CA certificates (PEM) for the Git server"
    )
    allow_http: bool = Field(
        alias="GIT_ALLOW_HTTP",
        default=False,
        description="allow http:// repositories; the token is then sent unencrypted",
    )
    ssh_key_path: Path | None = Field(
        alias="SSH_KEY_PATH", default=None, description="file with the private key for SSH"
    )
    ssh_known_hosts_path: Path | None = Field(
        alias="SSH_KNOWN_HOSTS_PATH",
        default=None,
        description="known_hosts file; create it with `ssh-keyscan` and compare the fingerprint",
    )

    @property
    def ssh_files(self) -> tuple[Path, Path]:
        """The key and the known_hosts file. ``read()`` requires both if the scheme is ssh."""
        if self.ssh_key_path is None or self.ssh_known_hosts_path is None:
            raise RuntimeError("SSH files are used, but were not required with Needs.GIT")
        return self.ssh_key_path, self.ssh_known_hosts_path


_HTTP_FILES = ("GIT_CA_FILE", "GIT_TOKEN_FILE")
# Only the files of the protocol in use are checked: a pod may name both a token and a key, and mount one.
_FILES = {
    "https": _HTTP_FILES,
    "http": _HTTP_FILES,
    "ssh": ("SSH_KEY_PATH", "SSH_KNOWN_HOSTS_PATH"),
}


def transport_problems(given: dict[str, Any]) -> Iterator[str]:
    """Yield the problem with a repository that is reached without encryption."""
    if _given_scheme(given) == "http" and not _is_true(given.get("GIT_ALLOW_HTTP")):
        yield "GIT_REPOSITORY: http:// is not encrypted; use https://, or set GIT_ALLOW_HTTP=true"


def credential_problems(given: dict[str, Any]) -> Iterator[str]:
    """Yield what is missing or unusable of the credentials that the repository's protocol needs."""
    scheme = _given_scheme(given)
    required: list[str] = []
    if scheme == "ssh":
        required = ["SSH_KEY_PATH", "SSH_KNOWN_HOSTS_PATH"]
    elif scheme in {"http", "https"} and "GIT_TOKEN_FILE" not in given:
        required = ["GIT_TOKEN"]
    described = {field.alias: field.description for field in GitSettings.model_fields.values()}
    yield from (f"{name} is required ({described[name]})" for name in required if name not in given)
    unusable = unreadable(given, *_FILES.get(scheme or "", ()))
    yield from unusable
    if scheme == "ssh" and "SSH_KEY_PATH" in given and not unusable:
        key = given["SSH_KEY_PATH"]
        if os.path.isfile(key) and (problem := ssh_key.problem(ssh_key.repaired(content(key)))):
            yield f"SSH_KEY_PATH: {shown_path(key)} {problem}"
    if {"GIT_TOKEN", "GIT_TOKEN_FILE"} <= set(given):
        yield "GIT_TOKEN_FILE: set either this or GIT_TOKEN, not both"


def _given_scheme(given: dict[str, Any]) -> str | None:
    try:
        return _scheme(_repository(str(given.get("GIT_REPOSITORY", ""))))
    except ValueError:
        return None  # reported by the field itself


def _is_true(text: object) -> bool:
    try:
        return TypeAdapter(bool).validate_python(text)
    except ValidationError:
        return False  # reported by the field itself, or not set
