"""`make demo`: run git-sync on this machine, with a sample bucket and an empty repository.

It uses an S3 server (moto) and a bare Git repository on this machine. git-sync itself is unchanged, and is
called from its command line.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import mkdtemp

import click

from tests.demo import dataset
from tests.support.bucket import Bucket, new_bucket
from tests.support.repositories import bare_repository, git
from tests.support.s3 import moto_server

_ROOT = Path(__file__).parents[2]


@click.command()
@click.option("--keep", is_flag=True, help="Keep the files, and serve the bucket until Ctrl-C.")
def main(*, keep: bool) -> None:
    """Show five runs of git-sync; exit 1 if one has an unexpected exit code."""
    directory = Path(mkdtemp(prefix="git-sync-demo-"))
    with ExitStack() as stack:
        if not keep:
            stack.callback(shutil.rmtree, directory)
        server = stack.enter_context(moto_server())
        bucket = new_bucket(server)
        repository = bare_repository(directory / "backups.git")
        environment = {
            "MINIO_ENDPOINT": server.endpoint,
            "MINIO_ACCESS_KEY": server.access_key,
            "MINIO_SECRET_KEY": server.secret_key,
            "MINIO_BUCKET": bucket.name,
            "MINIO_USE_SSL": "false",
            "GIT_REPOSITORY": f"file://{repository}",
            "GIT_USERNAME": "cluster-backup-bot",
            "GIT_EMAIL": "backup@example.com",
            "WORK_DIR": f"{directory}/workspace",
            "LOG_FORMAT": "text",
            "METRICS_PORT": "0",
        }
        _show_runs(environment, bucket, repository)
        settings = directory / "settings.env"
        settings.write_text("".join(f"export {shlex.join([f'{k}={v}'])}\n" for k, v in environment.items()))
        with suppress(KeyboardInterrupt):  # before the message offers Ctrl-C
            _show_places(directory, bucket, keep=keep)
            if keep:
                signal.pause()


def _show_places(directory: Path, bucket: Bucket, *, keep: bool) -> None:
    _scene("Where everything is:")
    print(f"Report:      {directory}/workspace/report.html")
    print(f"Repository:  {directory}/backups.git")
    print(f"Bucket:      {bucket.name} at http://{bucket.server.endpoint}")
    print(f"Settings:    {directory}/settings.env")
    if keep:
        print(
            f"The bucket is served until Ctrl-C. Another run: `. {directory}/settings.env; make run`",
            flush=True,
        )
    else:
        print("They are removed now. `make demo ARGS=--keep` keeps them and serves the bucket until Ctrl-C.")
    print(
        "Next: `make run` does the same with your own MINIO_* and GIT_* settings; see README.md.", flush=True
    )


def _show_runs(environment: dict[str, str], bucket: Bucket, repository: Path) -> None:
    before, after = dataset.before(), dataset.after()

    _scene(f"Three clusters have written {len(before)} objects to one bucket. The first sync:")
    bucket.put_many(before)
    _sync(environment)

    _scene("The clusters change: 23 objects are new, 15 modified, 2 deleted. The second sync:")
    bucket.put_many({key: body for key, body in after.items() if before.get(key) != body})
    for key in before.keys() - after.keys():
        bucket.delete(key)
    _sync(environment)

    _scene("The commit:")
    print(git(repository, "log", "-1", "--format=%B", "main").decode())
    print(
        git(
            repository,
            "log",
            "--format=%h %an, %ad%n  %s",
            "--date=iso",
            "--stat=100",
            "--no-renames",
            "-1",
            "main",
        ).decode()
    )

    _scene("Nothing has changed. The third sync commits nothing:")
    _sync(environment)

    _scene("A backup job fails: staging disappears from the bucket. A guard refuses the deletions (exit 20):")
    for key in after:
        if key.startswith("clusterbackup/staging/"):
            bucket.delete(key)
    output = _sync(environment, expected=20)

    approval = re.search(r"git-sync (run --allow-delete .*?)(?: {2}\[|$)", output, re.MULTILINE)
    if approval is None:
        sys.exit("the refusal does not contain a command")
    _scene("If the deletions are intended, the printed command approves exactly these:")
    _sync(environment, *shlex.split(approval[1])[1:])

    print(git(repository, "log", "--format=%h %s", "main").decode())


def _scene(title: str) -> None:
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n=== {title}", flush=True)


def _sync(environment: dict[str, str], *options: str, expected: int = 0) -> str:
    """Run git-sync; print and return its output."""
    print(f"$ git-sync {shlex.join(['run', *options])}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "steps", "run", *options],
        cwd=_ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(done.stdout, end="")
    print(f"(exit {done.returncode})", flush=True)
    if done.returncode != expected:
        sys.exit(f"expected exit {expected}")
    return done.stdout


if __name__ == "__main__":
    main()
