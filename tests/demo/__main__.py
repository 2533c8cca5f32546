"""`make demo`: the main job, done for real on this machine in a few seconds.

An S3 server (moto) and a bare Git repository stand in for yours; git-sync is the real one, called as
you would call it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.demo import dataset
from tests.support.bucket import Bucket, new_bucket
from tests.support.repositories import bare_repository, git
from tests.support.s3 import moto_server

_ROOT = Path(__file__).parents[2]


def main() -> None:
    """Tell the story in six scenes; a scene that ends otherwise than it should ends the demo."""
    with (
        TemporaryDirectory(prefix="git-sync-demo-") as directory,
        moto_server() as server,
    ):
        bucket = new_bucket(server)
        repository = bare_repository(Path(directory) / "backups.git")
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
        _tell(environment, bucket, repository)


def _tell(environment: dict[str, str], bucket: Bucket, repository: Path) -> None:
    before, after = dataset.before(), dataset.after()

    _scene(f"Three clusters have backed up {len(before)} objects into one bucket. The first sync:")
    bucket.put_many(before)
    _sync(environment)

    _scene("The clusters change: 23 objects are new, 15 modified, 2 deleted. The second sync:")
    bucket.put_many({key: body for key, body in after.items() if before.get(key) != body})
    for key in before.keys() - after.keys():
        bucket.delete(key)
    _sync(environment)

    _scene("What it committed:")
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

    _scene("Nothing has changed since. The third sync commits nothing:")
    _sync(environment)

    _scene("A backup job goes wrong: staging vanishes from the bucket. A guard refuses to follow (exit 20):")
    for key in after:
        if key.startswith("clusterbackup/staging/"):
            bucket.delete(key)
    said = _sync(environment, expected=20)

    allowing = re.search(r"git-sync (run --allow-delete .*?)(?: {2}\[|$)", said, re.MULTILINE)
    if allowing is None:
        sys.exit("the refusal named no command")
    _scene("If the loss is meant, the command that the refusal printed allows just this one:")
    _sync(environment, *shlex.split(allowing[1])[1:])

    print(git(repository, "log", "--format=%h %s", "main").decode())
    print("Next: `make run` does the same job with your own MINIO_* and GIT_* settings; see README.md.")


def _scene(title: str) -> None:
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n=== {title}", flush=True)


def _sync(environment: dict[str, str], *options: str, expected: int = 0) -> str:
    """Run git-sync, show what it says, and return it."""
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


main()
