"""The command line: ``git-sync``, and ``python -m steps``.

``main`` reads the environment, ``invoke`` turns errors into log lines and exit codes.
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
from steps.history import options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from steps.commands import Commands

# Variables that this process and its children keep. Settings are read once; any other variable could
# change what GitPython and the SDKs do.
_INHERITED = frozenset(
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

# Kubernetes keeps only the last 4096 bytes of a longer termination message.
_TERMINATION_MESSAGE_BYTES = 4096


def main() -> NoReturn:
    """Run a command and exit with its code."""
    gc.disable()  # until all modules are imported: it takes a tenth of the start, and finds no garbage
    environ = dict(os.environ)
    for name in environ:
        if name not in _INHERITED and not name.startswith("PYTHON"):
            del os.environ[name]
    from steps.errors import Terminated
    from steps.runtime import hardening, logs, signals

    hardening.harden()
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal's encoding may lack a character of a cluster's name.
        sys.stdout.reconfigure(errors="backslashreplace")
    _set_up_log(environ)
    code: int
    try:
        signals.install()
        code = invoke(sys.argv[1:], environ)
    except Terminated as stop:  # before the command began, or after it ended
        signals.ignore()
        logs.failure(stop)
        code = stop.exit
    signals.ignore()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    if code:
        write_termination_message(Path("/dev/termination-log"))
    # Unlike sys.exit, os._exit does not wait for threads: after an error their downloads are useless.
    os._exit(code)


def write_termination_message(file: Path) -> None:
    """Write the last error to the file that Kubernetes and Argo show beside the exit code.

    Argo also pastes the message into the template of the exit handler, and evaluates expressions in the
    result. So the message contains no two braces in a row, because names of clusters may contain them.
    """
    from steps.runtime import logs

    message = re.sub(r"\{(?=\{)|\}(?=\})", r"\g<0> ", logs.last_error())
    with suppress(OSError):
        if file.is_file() and not file.is_symlink():  # the file exists only in a container
            file.write_bytes(message.encode()[:_TERMINATION_MESSAGE_BYTES].decode(errors="ignore").encode())


def invoke(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command and return its exit code. Errors are logged here, and only here."""
    from steps.errors import SyncError, Terminated, translated
    from steps.runtime import logs, signals

    _set_up_log(environ)
    try:
        with translated():
            return _click(arguments, environ)
    except Terminated as stop:
        signals.ignore()
        logs.failure(stop)
        return stop.exit
    except SyncError as problem:
        logs.failure(problem)
        return problem.exit


def _set_up_log(environ: Mapping[str, str]) -> None:
    """Set up the log until the settings are read: LOG_FORMAT if it is valid, and no secrets yet."""
    from steps.runtime import logs
    from steps.runtime.logs import LogFormat, LogLevel

    text = environ.get("LOG_FORMAT", "").lower()
    format_ = LogFormat(text) if text in list(LogFormat) else LogFormat.AUTO
    logs.set_up(LogLevel.INFO, format_, list)


def _click(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        return int(cli.main(list(arguments), prog_name="git-sync", standalone_mode=False, obj=environ) or 0)
    except click.ClickException as misuse:
        misuse.show()
        return misuse.exit_code


def _collect_garbage() -> None:
    """Enable garbage collection, which ``main`` disables: call it when all modules are imported."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _commands(context: click.Context, **overrides: object) -> Commands:
    from steps.commands import Commands

    _collect_garbage()
    given = {name: value for name, value in overrides.items() if value not in (None, (), False)}
    return Commands(context.obj, **given)


class _InOrder(click.Group):
    """A group that lists its commands in the order of their definition, which is that of the pipeline."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


@click.group(cls=_InOrder, invoke_without_command=True)
@click.version_option(__version__)
@click.option("--health-check", is_flag=True, help="Same as `git-sync health`.")
@click.pass_context
def cli(context: click.Context, health_check: bool) -> Exit | None:  # noqa: FBT001 - click's flag
    """Sync the backups of many clusters from an S3 bucket to Git. Settings come from the environment."""
    if context.invoked_subcommand is not None:
        return None
    if health_check:
        return _commands(context).health()
    click.echo(context.get_help())
    return Exit.OK


def _joined(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> str | None:
    """Return the values of a repeated option as the text of its variable."""
    return "\n".join(values) or None


def _checked_shards(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[a-z0-9-]+", value):
            raise click.BadParameter(f"{value!r} is not an index or a label of shards.json")
    return values


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a run. Each one overrides the variable in its help text."""
    options = (
        click.option("--dry-run", is_flag=True, help="Print the plan; change nothing [DRY_RUN]."),
        click.option(
            "--allow-delete",
            multiple=True,
            callback=_joined,
            metavar="CLUSTER:TOKEN",
            help="Approve the deletions that a refusal named, and no others [ALLOW_DELETE].",
        ),
        click.option(
            "--allow-new-branch",
            multiple=True,
            callback=_joined,
            metavar="TOKEN",
            help="Approve the loss of the last pushed commit that a refusal named [ALLOW_NEW_BRANCH].",
        ),
        click.option(
            "--mode",
            "sync_mode",
            type=click.Choice(["incremental", "full"]),
            help="full: download every object and compare it with Git [SYNC_MODE].",
        ),
        *(
            click.option(name, multiple=True, callback=_joined, metavar=metavar, help=text)
            for name, metavar, text in (
                ("--clusters", "GLOBS", "Sync only these clusters [CLUSTERS]."),
                ("--namespaces", "GLOBS", "Sync only these namespaces [NAMESPACES]."),
                ("--exclude", "PATTERNS", "Exclude these paths [EXCLUDE]."),
            )
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_PATH = click.Path(path_type=Path)
_run_id = click.option("--run-id", metavar="ID", help="Id of the run [default: the newest run in WORK_DIR].")


@cli.command()
@_run_options
@click.pass_context
def run(context: click.Context, /, **overrides: object) -> Exit:
    """Run all steps in one process, with retries."""
    return _commands(context, **overrides).run()


@cli.command()
@click.option("--run-id", metavar="ID", help="Id for the new run [default: from the time].")
@click.option(
    "--cache",
    type=_PATH,
    metavar="DIRECTORY",
    help="Cache of an earlier run, for a new volume.",
)
@_run_options
@click.pass_context
def discover(context: click.Context, /, run_id: str | None, cache: Path | None, **overrides: object) -> Exit:
    """Step 1: find the clusters in the bucket and in Git."""
    return _commands(context, **overrides).discover(run_id, cache)


@cli.command()
@_run_id
@click.option(
    "--shard",
    "shards",
    multiple=True,
    callback=_checked_shards,
    metavar="SHARD",
    help="Index or label of a shard; may be repeated [default: all shards].",
)
@click.pass_context
def download(context: click.Context, run_id: str | None, shards: tuple[str, ...]) -> Exit:
    """Step 2: download what Git does not have."""
    return _commands(context).download(run_id, shards)


@cli.command()
@_run_id
@click.pass_context
def detect(context: click.Context, run_id: str | None) -> Exit:
    """Step 3: plan the changes; the guards decide about deletions."""
    return _commands(context).detect(run_id)


@cli.command()
@_run_id
@click.pass_context
def publish(context: click.Context, run_id: str | None) -> Exit:
    """Step 4: commit and push; exit with the code of the run."""
    return _commands(context).publish(run_id)


@cli.command()
@_run_id
@click.option(
    "--artifacts",
    type=_PATH,
    metavar="DIRECTORY",
    help="Read result.json, sync-metadata.json and failures.json there, if they exist, instead of WORK_DIR.",
)
@click.option("--output", type=_PATH, metavar="DIRECTORY", help="With --artifacts: where to write the state.")
@click.option(
    "--started-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    metavar="TIME",
    help="With --artifacts: start of the run, for a run that wrote no result.",
)
@click.option(
    "--filtered",
    type=bool,
    default=False,
    help="With --artifacts: whether options filter the run, for a run that wrote no result.",
)
@click.pass_context
def report(  # noqa: PLR0913 - one argument per option
    context: click.Context,
    /,
    *,
    run_id: str | None,
    artifacts: Path | None,
    output: Path | None,
    started_at: datetime | None,
    filtered: bool,
) -> Exit:
    """Step 5: log the result and update sync-metadata.json."""
    if artifacts is None:
        return _commands(context).report(run_id)
    if run_id is None or output is None or started_at is None:
        raise click.UsageError("--artifacts needs --run-id, --output and --started-at.")
    return _commands(context).report_artifacts(run_id, artifacts, output, started_at, filtered=filtered)


@cli.command()
@click.pass_context
def serve(context: click.Context) -> Exit:
    """Serve metrics, health and the last report on METRICS_PORT."""
    return _commands(context).serve()


@cli.command()
@click.pass_context
def health(context: click.Context) -> Exit:
    """Exit 0 if the last success is recent enough, else 1."""
    return _commands(context).health()


@cli.command()
@click.option(
    "--test",
    "path",
    type=_PATH,
    metavar="PATH",
    help="Show what the rules remove from this file, or from the files in this directory.",
)
@click.pass_context
def rules(context: click.Context, path: Path | None) -> Exit:
    """Print the rules about volatile fields: the built-in ones, and those of RULES_FILE."""
    policy = _commands(context).policy()
    from steps.history.rules import printed_rules, removals

    if path is None:
        click.echo(printed_rules(policy), nl=False)
    else:
        for line in removals(policy, path):
            click.echo(line)
    return Exit.OK


@cli.command()
@click.argument("revisions", metavar="A..B")
@click.option(
    "--repo",
    type=_PATH,
    default=".",
    metavar="DIR",
    help="Clone of the repository [default: this directory].",
)
@click.option(
    "--path",
    default="clusterbackup/",
    metavar="DIR",
    help="Directory of the backups in the repository, as GIT_PATH [default: clusterbackup/].",
)
@click.option(
    "--format",
    "how",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    help="How to print the summary [default: text].",
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="KIND[,KIND]",
    help="Exit 1 if there is such a change: rbac, secret, network_policy, webhook, pod_security, "
    "cloud_identity, crd, image, not_inspected; or all.",
)
@click.pass_context
def inspect(  # noqa: PLR0913 - one argument per option
    context: click.Context, /, *, revisions: str, repo: Path, path: str, how: str, fail_on: tuple[str, ...]
) -> Exit:
    """Summarize what changed between two commits of the repository."""
    from steps.history import inspect as inspection
    from steps.runtime.settings.reading import read

    _collect_garbage()
    rules = read(context.obj).content.rules
    kinds = inspection.parse_kinds(fail_on)
    summary = inspection.inspect(repo, revisions, path, rules)
    click.echo(inspection.printed(summary, inspection.Format(how), revisions))
    for failure in inspection.failures(summary, kinds):
        click.echo(f"--fail-on: {failure}", err=True)
    return inspection.exit_code(summary, kinds)


@cli.command()
@options.names(
    "--cluster", "NAME[,NAME]", "One cluster and two times, or two clusters [default: all clusters]."
)
@click.option("--from", "since", metavar="TIME", help="The earlier time; a date is the beginning of its day.")
@click.option("--to", "until", metavar="TIME", help="The later time [default: now]; a date is its end.")
@options.objects
@options.output_format("text", "markdown", "html", "json")
@options.place
@click.pass_context
def diff(context: click.Context, /, **given: Any) -> Exit:
    """Compare the objects of a cluster at two times, or those of two clusters."""
    from steps.history import diff_output

    _collect_garbage()
    return diff_output.diff(context.obj, **given)


@cli.command()
@click.argument("pattern", required=False, metavar="[CLUSTER/NAMESPACE/KIND/NAME]")
@click.option("--since", metavar="TIME", help="Only later changes; a date includes its whole day.")
@click.option("--until", metavar="TIME", help="Only changes up to this time [default: now].")
@click.option("--all", "with_volatile", is_flag=True, help="Also changes in volatile fields only.")
@options.objects
@options.output_format("text", "markdown", "html", "json")
@options.place
@click.pass_context
def history(context: click.Context, /, **given: Any) -> Exit:
    """List what happened to objects, or what each commit changed."""
    from steps.history import history_output

    _collect_garbage()
    return history_output.history(context.obj, **given)


@cli.command()
@click.option("--cluster", required=True, metavar="NAME", help="The cluster to restore.")
@click.option("--at", metavar="TIME", help="The newest backup at or before this time [default: now].")
@options.place
@options.objects
@options.names("--map-namespace", "OLD=NEW", "Restore the objects of one namespace into another one.")
@click.option("--output", type=_PATH, metavar="DIR", help="Directory to write; new or empty.")
@click.option("--exact", is_flag=True, help="Write the files as Git has them.")
@click.option("--include-owned", is_flag=True, help="Restore also objects that their owners create.")
@click.option("--keep-node-ports", is_flag=True, help="Keep the node ports of Services.")
@click.option("--keep-volumes", is_flag=True, help="Restore PersistentVolumes; claims keep their volumes.")
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing.")
@options.output_format("text", "json")
@click.pass_context
def restore(context: click.Context, /, **given: Any) -> Exit:
    """Write a cluster's objects at a point in time as files for kubectl apply."""
    from steps.history import restore_command

    _collect_garbage()
    if not (given["output"] or given["dry_run"]):
        raise click.UsageError("restore needs --output or --dry-run.")
    lines, code = restore_command.restore(context.obj, **given)
    for line in lines:
        click.echo(line)
    return code


@cli.command()
@click.option("--cluster", required=True, metavar="NAME", help="The cluster.")
@click.option("--at", metavar="TIME", help="The time [default: now]; a date is its end.")
@click.option("--since", metavar="TIME", help="Print what was gained and lost since this time instead.")
@options.names("--verb", "VERB[,VERB]", "Only grants of these verbs, as in get,list.")
@click.option("--resource", metavar="NAME", help="Only for secrets, deployments.apps, pods/exec, /metrics, …")
@click.option(
    "--subject", metavar="SUBJECT", help="'Group x', 'ServiceAccount ns/name', or the name of a user."
)
@options.names("--namespace", "NAME[,NAME]", "Only what applies in these namespaces.")
@options.output_format("text", "json")
@options.place
@click.pass_context
def access(context: click.Context, /, **given: Any) -> Exit:
    """List who may do what by RBAC."""
    from steps.history import access as reading

    _collect_garbage()
    return reading.access(context.obj, **given)
