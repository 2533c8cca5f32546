"""The options that the commands of the history share. Imported at every start, so it imports only click."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

Command: TypeAlias = Callable[..., Any]

_DIRECTORY = click.Path(path_type=Path)

TIME = "TIME"


def _names(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split the values of a repeated option at commas."""
    parts = (part.strip() for value in values for part in value.split(","))
    return tuple(part for part in parts if part)


def names(name: str, metavar: str, text: str) -> Callable[[Command], Command]:
    """Return an option that may be repeated, and whose values may contain commas."""
    return click.option(name, multiple=True, callback=_names, metavar=metavar, help=text)


def place(command: Command) -> Command:
    """Add the options that say where to read: ``repo``, ``branch``, ``path``."""
    options = (
        click.option(
            "--repo",
            type=_DIRECTORY,
            metavar="DIR",
            help="Read this clone instead of GIT_REPOSITORY; no settings are needed.",
        ),
        click.option(
            "--branch",
            metavar="NAME",
            help="Branch [GIT_BRANCH; with --repo the branch that is checked out].",
        ),
        click.option("--path", metavar="DIR", help="Directory of the clusters [GIT_PATH]."),
    )
    return _added(command, options)


def objects(command: Command) -> Command:
    """Add the options that select objects: ``namespace``, ``select``, ``exclude``."""
    options = (
        names("--namespace", "GLOBS", "Only objects in these namespaces."),
        names("--select", "KIND/NAME", "Only these objects, as in 'Deployment/cart*' or Secret."),
        names("--exclude", "KIND/NAME", "Not these objects."),
    )
    return _added(command, options)


def output_format(*formats: str) -> Callable[[Command], Command]:
    """Return the option --format, as ``how``; the first format is the default."""
    return click.option(
        "--format",
        "how",
        type=click.Choice(formats),
        default=formats[0],
        help=f"Format of the output [default: {formats[0]}].",
    )


def _added(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
