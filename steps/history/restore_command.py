"""What git-sync restore does with its options: a restored directory, the lines to print, the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steps.history.restoration import Request
from steps.history.restore import exit_code, parse_mapping
from steps.history.restore import restore as write
from steps.history.restore_text import summary, table
from steps.history.session import Place, session
from steps.kubernetes.restoration.rules import Option
from steps.kubernetes.selection import ObjectFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from steps.core.exit_codes import Exit


def restore(environ: Mapping[str, str], **given: Any) -> tuple[Iterable[str], Exit]:
    """Write the directory; ``given`` are the options of the command line."""
    chosen = (option for option in Option if given[option.value.strip("-").replace("-", "_")])
    request = Request(
        cluster=given["cluster"],
        objects=ObjectFilter(given["namespace"], given["select"], given["exclude"]),
        namespaces=parse_mapping(given["map_namespace"]),
        options=frozenset(chosen),
        exact=given["exact"],
    )
    output = None if given["dry_run"] else given["output"]
    with session(environ, Place(given["repo"], given["branch"], given["path"])) as opened:
        manifest = write(opened, request, given["at"], output)
    if given["how"] == "json":
        return [manifest.model_dump_json(indent=2)], exit_code(manifest)
    lines = summary(manifest, str(output)) if output else table(manifest)
    return lines, exit_code(manifest)
