"""The full form: 10,000 hostile keys through servers of four kinds, as far as these hold them.

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
@click.option("--seed", default="1", show_default=True, help="What the dice fall by.")
@click.option("--count", default=10_000, show_default=True, help="How many keys.")
@click.option("--store", "names", multiple=True, type=click.Choice(["moto", *_ON_A_DIRECTORY]))
def main(seed: str, count: int, names: tuple[str, ...]) -> None:
    """Judge, and say what became of the keys; an AssertionError says what was wrong."""
    environment.clean()
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        stores = {}
        for name in names:
            (room / name).mkdir()
            server = _ON_A_DIRECTORY[name](room / name) if name in _ON_A_DIRECTORY else moto_server()
            stores[name] = stack.enter_context(server)
        (room / "keys").mkdir()
        for name, counts in hostile_keys(seed, count, room / "keys", stores).items():
            click.echo(f"{name}: {counts}")


if __name__ == "__main__":
    main()
