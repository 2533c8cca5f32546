"""The options that the commands of the history share."""

from __future__ import annotations

import ast
from typing import Any

import click
import pytest
from click.testing import CliRunner

from steps.history import options


@click.command()
@options.place
@options.objects
@options.output_format("text", "json")
def command(**given: Any) -> None:
    click.echo(repr({name: value for name, value in given.items() if value not in (None, ())}))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"how": "text"}),
        (["--namespace", "a, b,", "--namespace", "c"], {"namespace": ("a", "b", "c"), "how": "text"}),
        (["--select", "Role/x", "--format", "json"], {"select": ("Role/x",), "how": "json"}),
        (["--branch", "b", "--path", "p"], {"branch": "b", "path": "p", "how": "text"}),
    ],
)
def test_options_are_passed_by_name(arguments: list[str], expected: dict[str, object]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert ast.literal_eval(result.output) == expected


def test_unknown_format_is_a_usage_error() -> None:
    assert CliRunner().invoke(command, ["--format", "pdf"]).exit_code == 2
