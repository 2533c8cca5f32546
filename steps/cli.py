"""The command line: ``git-sync``, and ``python -m steps``.

One place takes the environment, one place turns errors into log lines and exit codes.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from steps import __version__
from steps.core.exit_codes import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from steps.commands import Commands

# What our own process and its children may see of the environment. The rest is either a setting,
# which is read once, or none of our business: GitPython and the SDKs would act on it.
_KEPT = frozenset(
    [
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "LC_ALL",
        "TZ",
        "TERM",
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ]
)

_LONGEST_WORD_BYTES = 4096


def main() -> NoReturn:
    """Run a command and exit with its code."""
    gc.disable()  # until all modules are there: looking for garbage among them is a tenth of the start
    environ = dict(os.environ)
    for name in environ:
        if name not in _KEPT and not name.startswith("PYTHON"):
            del os.environ[name]
    from steps.errors import Terminated
    from steps.runtime import logs, signals

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that a terminal lacks is no lost line
    _begin_log(environ)
    code: int
    try:
        signals.install()
        code = invoke(sys.argv[1:], environ)
    except Terminated as stop:  # before a command was begun, or when it was over
        signals.caught()
        logs.failure(stop)
        code = stop.exit
    signals.caught()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    if code:
        leave_word(Path("/dev/termination-log"))
    # Not sys.exit, which would wait for threads: after an error their downloads are of no use.
    os._exit(code)


def leave_word(file: Path) -> None:
    """Write the last error where Kubernetes looks for it, and Argo: it is shown beside the exit code.

    Argo also pastes it into the exit handler's template, as text, and evaluates the result: so no name
    out of the bucket may bring its braces along. Kubernetes keeps the end of what is too long.
    """
    from steps.runtime import logs

    word = re.sub(r"\{(?=\{)|\}(?=\})", r"\g<0> ", logs.last_error())
    with suppress(OSError):
        if file.is_file() and not file.is_symlink():  # elsewhere than in a container, there is none
            file.write_bytes(word.encode()[:_LONGEST_WORD_BYTES].decode(errors="ignore").encode())


def invoke(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command and return its exit code: the one place where errors end."""
    from steps.errors import SyncError, Terminated, translated
    from steps.runtime import logs, signals

    _begin_log(environ)
    try:
        with translated():
            return _click(arguments, environ)
    except Terminated as stop:
        signals.caught()
        logs.failure(stop)
        return stop.exit
    except SyncError as problem:
        logs.failure(problem)
        return problem.exit


def _begin_log(environ: Mapping[str, str]) -> None:
    """Log as the environment seems to want it, until the settings are known."""
    from steps.runtime import logs
    from steps.runtime.logs import LogFormat, LogLevel

    wanted = environ.get("LOG_FORMAT", "").lower()
    known = LogFormat(wanted) if wanted in list(LogFormat) else LogFormat.AUTO
    logs.set_up(LogLevel.INFO, known, list)


def _click(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        return int(cli.main(list(arguments), prog_name="git-sync", standalone_mode=False, obj=environ) or 0)
    except click.ClickException as misuse:
        misuse.show()
        return misuse.exit_code


def _commands(context: click.Context, **overrides: object) -> Commands:
    from steps.commands import Commands

    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    given = {name: value for name, value in overrides.items() if value not in (None, (), False)}
    return Commands(context.obj, **given)


@click.group(invoke_without_command=True)
@click.version_option(__version__)
@click.option("--health-check", is_flag=True, help="The same as `git-sync health`.")
@click.pass_context
def cli(context: click.Context, health_check: bool) -> Exit | None:  # noqa: FBT001 - click's flag
    """Sync many clusters' backups from an S3 bucket into Git. Settings come from the environment."""
    if context.invoked_subcommand is not None:
        return None
    if health_check:
        return _commands(context).health()
    click.echo(context.get_help())
    return Exit.OK


def _joined(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> str | None:
    """An option that is given several times, as the list that its variable would hold."""
    return "\n".join(values) or None


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a run, each above the variable of the same name."""
    options = (
        click.option("--dry-run", is_flag=True, help="Print the plan, change nothing [DRY_RUN]."),
        click.option(
            "--allow-delete",
            multiple=True,
            callback=_joined,
            metavar="CLUSTER:TOKEN",
            help="Allow the deletions that a refusal named, and no others [ALLOW_DELETE].",
        ),
        click.option(
            "--mode",
            "sync_mode",
            type=click.Choice(["incremental", "full"]),
            help="full: fetch everything and compare it with Git [SYNC_MODE].",
        ),
        *(
            click.option(name, multiple=True, callback=_joined, metavar=metavar, help=text)
            for name, metavar, text in (
                ("--clusters", "GLOBS", "Sync only these clusters [CLUSTERS]."),
                ("--namespaces", "GLOBS", "Sync only these namespaces [NAMESPACES]."),
                ("--exclude", "PATTERNS", "Leave these paths out [EXCLUDE]."),
            )
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_PATH = click.Path(path_type=Path)
_run_id = click.option("--run-id", help="The run's id [default: the newest on the volume].")


@cli.command()
@_selecting
@click.pass_context
def run(context: click.Context, /, **overrides: object) -> Exit:
    """Sync once: all steps in this process."""
    return _commands(context, **overrides).run()


@cli.command()
@click.option("--run-id", help="Id for the new run [default: made from the time].")
@click.option(
    "--cache",
    type=_PATH,
    metavar="DIRECTORY",
    help="Cache of an earlier run, for a volume that has none of its own.",
)
@_selecting
@click.pass_context
def discover(context: click.Context, /, run_id: str | None, cache: Path | None, **overrides: object) -> Exit:
    """Step 1: find the clusters in bucket and Git."""
    return _commands(context, **overrides).discover(run_id, cache)


@cli.command()
@_run_id
@click.option("--shard", "shards", type=int, multiple=True, help="Index of a shard [default: all].")
@click.pass_context
def download(context: click.Context, run_id: str | None, shards: tuple[int, ...]) -> Exit:
    """Step 2: fetch what Git does not hold."""
    return _commands(context).download(run_id, shards)


@cli.command()
@_run_id
@click.pass_context
def detect(context: click.Context, run_id: str | None) -> Exit:
    """Step 3: plan the changes; the guards decide over deletions."""
    return _commands(context).detect(run_id)


@cli.command()
@_run_id
@click.pass_context
def publish(context: click.Context, run_id: str | None) -> Exit:
    """Step 4: commit and push; exits with the run's code."""
    return _commands(context).publish(run_id)


@cli.command()
@_run_id
@click.option(
    "--artifacts",
    type=_PATH,
    metavar="DIRECTORY",
    help="Read result.json, sync-metadata.json and failures.json there, if they exist; use no volume.",
)
@click.option("--output", type=_PATH, metavar="DIRECTORY", help="With --artifacts: where the new state goes.")
@click.option(
    "--started-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    help="With --artifacts: start of the run, used if it wrote no result.",
)
@click.pass_context
def report(
    context: click.Context,
    run_id: str | None,
    artifacts: Path | None,
    output: Path | None,
    started_at: datetime | None,
) -> Exit:
    """Step 5: log the result and update sync-metadata.json."""
    if artifacts is None:
        return _commands(context).report(run_id)
    if run_id is None or output is None or started_at is None:
        raise click.UsageError("--artifacts needs --run-id, --output and --started-at.")
    return _commands(context).report_artifacts(run_id, artifacts, output, started_at)


@cli.command()
@click.pass_context
def health(context: click.Context) -> Exit:
    """Exit 0 if the last success is recent enough, else 1 and say why."""
    return _commands(context).health()


@cli.command()
@click.pass_context
def serve(context: click.Context) -> Exit:
    """Answer /metrics, /health and / on METRICS_PORT, from the state that runs leave."""
    return _commands(context).serve()
