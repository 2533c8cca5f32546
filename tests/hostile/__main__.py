"""Run git-sync with 10,000 hostile keys on four kinds of servers, as far as these accept the keys.

`python -m tests.hostile [--seed 1] [--count 10000] [--store moto] [--store versitygw] [--store rclone]`
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from tests.hostile.verdicts import hostile_keys
from tests.support import environment
from tests.support.s3 import moto_server, rclone_server, versitygw_server

_ON_A_DIRECTORY = {"rclone": rclone_server, "versitygw": versitygw_server}


@click.command()
@click.option("--seed", default="1", show_default=True, help="The seed of the random choices.")
@click.option("--count", default=10_000, show_default=True, help="The number of keys.")
@click.option("--store", "names", multiple=True, type=click.Choice(["moto", *_ON_A_DIRECTORY]))
def main(seed: str, count: int, names: tuple[str, ...]) -> None:
    """Print the counts of each server; raises AssertionError if a verdict is wrong."""
    environment.clean()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        stores = {}
        for name in names:
            (directory / name).mkdir()
            server = _ON_A_DIRECTORY[name](directory / name) if name in _ON_A_DIRECTORY else moto_server()
            stores[name] = stack.enter_context(server)
        (directory / "keys").mkdir()
        for name, counts in hostile_keys(seed, count, directory / "keys", stores).items():
            click.echo(f"{name}: {counts}")


if __name__ == "__main__":
    main()
