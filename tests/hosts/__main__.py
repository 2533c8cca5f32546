"""`python -m tests.hosts`: ask a real Gitea for its answers in host_answers.yaml."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from steps.runtime import redaction
from tests.hosts.gitea import SITUATIONS, Gitea, running
from tests.support import environment
from tests.support.host_answers import failure, host_answers

if TYPE_CHECKING:
    from tests.support.host_answers import Answer


@click.command()
@click.argument("binary", type=click.Path(exists=True, path_type=Path))
@click.argument("source", type=click.Path(exists=True, path_type=Path))
def main(binary: Path, source: Path) -> None:
    """Compare the answers of a real Gitea with tests/clients/git/host_answers.yaml; exit 1 if one differs.

    BINARY is Gitea's program, SOURCE its source directory, whose templates it needs:

    \b
    go mod download code.gitea.io/gitea@v1.26.0
    cp -r --no-preserve=mode "$(go env GOMODCACHE)/code.gitea.io/gitea@v1.26.0" source
    (cd source && go build -tags 'sqlite sqlite_unlock_notify' -o ../gitea .)
    python -m tests.hosts gitea source
    """
    environment.clean()
    redaction._secrets = list  # a host may print the words of a setting
    differing = 0
    with (
        TemporaryDirectory(prefix="gitea-") as folder,
        running(binary.resolve(), source, Path(folder)) as site,
    ):
        for kind in ("ssh", "http", "push"):
            for answer in host_answers(kind):
                if answer.host == "gitea":
                    differing += _differs(site, kind, answer)
    sys.exit(differing > 0)


def _differs(site: Gitea, kind: str, answer: Answer) -> bool:
    name = f"{kind}: {answer.situation}"
    if (kind, answer.situation) not in SITUATIONS:
        print(f"{name}: not asked")
        return False
    with (
        TemporaryDirectory(prefix="gitea-client-") as work_dir,
        SITUATIONS[kind, answer.situation].at(site) as settings,
    ):
        problem = failure(settings, Path(work_dir), answer.request)
    differences = answer.differences(problem)
    print(
        f"{name}: {int(problem.exit)} {problem.error}",
        *(f"    differs: {text}" for text in differences),
        sep="\n",
    )
    return bool(differences)


if __name__ == "__main__":
    os.umask(0o077)
    main()
