"""A lower bound of a run without changes: list the bucket and fetch the branch.

It uses the clients of git-sync, and its settings from the environment.
"""

from __future__ import annotations

import os
from collections import deque

from steps.clients.git.repository import Repository
from steps.clients.s3.store import ObjectStore
from steps.runtime.settings.reading import Needs, read
from steps.workdir.volume import Volume
from tests.support import environment


def main() -> None:
    """List the bucket and fetch the branch."""
    given = dict(os.environ)
    environment.clean()
    settings = read(given, Needs.MINIO, Needs.GIT)
    deque(ObjectStore(settings.s3).listing(settings.s3.prefix), maxlen=0)
    volume = Volume(settings.sync.work_dir)
    volume.set_up()
    with Repository(settings.git, volume.git_dir, volume.gitconfig) as repository:
        repository.fetch()


if __name__ == "__main__":
    main()
