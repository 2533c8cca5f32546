"""Documentation and code agree: tables, names, examples, commands and links."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import durationpy
import pytest
import yaml

from steps import contracts
from steps.cli import cli
from steps.clients.git.errors import CAUSES, MESSAGES
from steps.contracts import State
from steps.core import limits
from steps.core.changes import FETCHED, UNCHANGED, ManifestRow
from steps.core.counters import Counters
from steps.core.deletion_guard import REFUSALS, Decision
from steps.core.exit_codes import Exit
from steps.core.intake_limits import REASONS, Excess
from steps.core.keys import Reason
from steps.core.message import Changes, ClusterLine, commit_message
from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.kubernetes.categories import Category
from steps.kubernetes.change_summary import (
    ChangeSummary,
    Count,
    ImageChange,
    ModifiedFiles,
    NotInspected,
    SecurityChange,
)
from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.reading import Needs, read
from steps.workdir import rows
from steps.workdir.rowfile import RowFile, read_rows
from tests.support.jq import jq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for folder in (ROOT, ROOT / "docs")
    for path in sorted(folder.glob("*.md"))
}


def test_readme_is_short() -> None:
    assert PAGES["README.md"].count("\n") <= 200


def test_readme_lists_its_sections_and_every_page() -> None:
    readme = PAGES["README.md"]
    listed = re.findall(r"^- \[(.+)\]\(#", readme, re.MULTILINE)
    assert listed == re.findall(r"^## (.+)$", readme, re.MULTILINE)
    assert not [name for name in DOCS if f"](docs/{name})" not in readme]


# -- docs/settings.md, docs/cli.md, docs/commit.md ----------------------------------------------


def required() -> set[str]:
    """Return the variables that `git-sync run` requires."""
    with pytest.raises(FixConfiguration) as refused:
        read({}, Needs.MINIO, Needs.GIT)
    return set(re.findall(r"([A-Z_]+) is required", refused.value.error))


def shown(default: Any) -> str:
    """Return a default as it is written in the environment."""
    if default in {None, "", ()}:
        return ""
    if isinstance(default, timedelta):
        return f"`{durationpy.to_str(default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, Enum):
        return f"`{default.value}`"
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    if isinstance(default, int) and default % 2**20 == 0 and default:
        return f"`{default}` ({default >> 20} MiB)"
    return f"`{default}`"


def settings_rows() -> list[str]:
    """Return a table row for each setting, in the order of the code."""
    needed = required()
    rows = []
    for setting in catalogue():
        default = "required" if setting.name in needed else shown(setting.default)
        rows.append(f"| `{setting.name}` | {default} | {setting.description} |")
    return rows


def table_rows(page: str, cell: str) -> list[str]:
    """Return the rows of a page whose first cell matches."""
    return re.findall(rf"^\| {cell} \|.*\|$", page, re.MULTILINE)


def test_every_setting_is_listed_once_with_its_default_and_meaning() -> None:
    expected, listed = settings_rows(), table_rows(DOCS["settings.md"], "`[A-Z_]+`")
    missing = "\n".join(row for row in expected if row not in listed)
    assert not missing, f"docs/settings.md should contain these rows:\n\n{missing}"
    assert sorted(listed) == sorted(expected)


def test_every_exit_code_is_listed_once() -> None:
    listed = [int(row.split("`")[1]) for row in table_rows(DOCS["cli.md"], r"`\d+`")]
    assert listed == sorted(Exit), f"docs/cli.md should list the exit codes {sorted(map(int, Exit))}"


def test_every_command_and_option_is_listed() -> None:
    page = DOCS["cli.md"]
    assert set(re.findall(r"^\| `git-sync (\w+)`", page, re.MULTILINE)) == set(cli.commands)
    for command in cli.commands.values():
        for option in (param for param in command.params if param.param_type_name == "option"):
            assert f"`{option.opts[0]}" in page, f"{command.name} {option.opts[0]}"


def test_only_settings_that_exist_are_set_in_examples() -> None:
    known = {setting.name for setting in catalogue()}
    for page, text in PAGES.items():
        for block in blocks(text, "bash"):
            assert set(re.findall(r"\b([A-Z]+_[A-Z_]+)=", block)) <= known, page


def test_only_make_targets_that_exist_are_named() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, text in PAGES.items():
        code = [*blocks(text, "bash"), *re.findall(r"`([^`\n]+)`", text)]
        named = {name for line in code for name in re.findall(r"(?:^|\s)make ([a-z][a-z0-9-]*)", line)}
        assert named <= targets, page


def code_lines() -> Iterator[tuple[str, str]]:
    """Yield every line of code in the pages, from blocks and between back-ticks, with its page."""
    for page, text in PAGES.items():
        fenced = (
            line
            for language in ("bash", "console")
            for block in blocks(text, language)
            for line in block.splitlines()
        )
        for line in [*fenced, *re.findall(r"`([^`\n]+)`", text)]:
            yield page, line


def test_documented_shell_blocks_parse() -> None:
    for page, text in PAGES.items():
        for block in blocks(text, "bash"):
            checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert (checked.returncode, checked.stderr) == (0, ""), f"{page}:\n{block}"


def test_documented_git_sync_commands_exist_with_their_options() -> None:
    found = [
        (page, name, set(re.findall(r"--[a-z][a-z-]*", arguments)))
        for page, line in code_lines()
        for name, arguments in re.findall(r"(?:^|&& |: |/bin/)git-sync ([a-z]+)((?: [^ `|>#&]+)*)", line)
    ]
    assert len(found) > 20
    for page, name, used in found:
        if name in {"cannot", "did", "does", "has", "is"}:  # a message that starts with "git-sync"
            continue
        assert name in cli.commands, f"{page}: git-sync {name}"
        known = {option for parameter in cli.commands[name].params for option in parameter.opts}
        assert used <= known | {"--help"}, f"{page}: git-sync {name} {used}"


def test_documented_workflow_parameters_exist() -> None:
    template = yaml.safe_load((ROOT / "workflows/manifests/base/workflowtemplate.yaml").read_text())
    known = {parameter["name"] for parameter in template["spec"]["arguments"]["parameters"]}
    used = {name for _, line in code_lines() for name in re.findall(r" -p ([a-z-]+)=", line)}
    assert used
    assert used <= known
    rows = DOCS["install.md"].split("| Parameter | Meaning |", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"`([a-z-]+)`(?=[^|]*\| )", rows)) == known


_PATH = r"(?<![\w/.-])((?:workflows|images|requirements|tests|examples|steps)/[\w./-]*\w)(?![\w<])"


def test_documented_paths_exist() -> None:
    for page, line in code_lines():
        for path in re.findall(_PATH, line):
            assert (ROOT / path).exists(), f"{page}: {path}"


def test_documented_jq_filters_compile() -> None:
    filters = [found for _, line in code_lines() for found in re.findall(r"\bjq (?:-\w+ )?'([^']+)'", line)]
    assert len(filters) > 8
    for filter_ in filters:
        line = json.dumps({"operation": "git_push", "level": "error", "data": {}, "message": ""})
        assert jq(filter_, json.dumps(line) if "fromjson" in filter_ else line) is not None


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_commit_message_example_equals_the_code() -> None:
    listed_at = datetime(2025, 7, 12, 22, 6, 59, tzinfo=UTC)
    files = {"production-east": 245, "production-west": 189, "staging": 67}
    example = commit_message(
        started_at=datetime(2025, 7, 12, 22, 6, 58, tzinfo=UTC),
        clusters=[ClusterLine(name, count, listed_at) for name, count in files.items()],
        changes=Changes(new=23, modified=15, deleted=2),
        run_id="20250712T220658Z-4de2e5",
    )
    page = DOCS["commit.md"]
    assert f"```\n{example}```" in page, f"docs/commit.md should contain this message:\n\n{example}"


# -- docs/logs.md: the fields, the operations, and the users' jq lines over the log of real runs ------


def test_every_operation_is_listed_once() -> None:
    page = DOCS["logs.md"].split("\n## Operations", 1)[1].split("\n## ", 1)[0]
    listed = [row.split("`")[1] for row in table_rows(page, "`[a-z0-9_]+`")]
    assert sorted(listed) == sorted(Operation)


def jq_filters() -> list[str]:
    section = DOCS["logs.md"].split("## Reading a log with jq", 1)[1].split("\n## ", 1)[0]
    return [found for block in blocks(section, "bash") for found in re.findall(r"\bjq '([^']+)'", block)]


def test_documented_jq_lines_select_the_right_log_lines(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({"clusterbackup/east/a.yaml": b"a", "clusterbackup/west/b.yaml": b"b"})
    log = program_output(sync)
    bucket.delete("clusterbackup/west/b.yaml")
    log += program_output(sync)

    assert jq_filters() == [
        'select(.operation=="sync_complete") | .data',
        'select(.operation | startswith("git_"))',
        'select(.level=="error")',
    ]
    completed, git_lines, errors = (jq(filter_, log) for filter_ in jq_filters())
    assert [(data["exit_code"], data["clusters_processed"]) for data in completed] == [(0, 2), (20, 2)]
    assert {
        "clusters_processed",
        "files_downloaded",
        "files_changed",
        "git_commit",
        "duration_ms",
    } <= set(completed[0])
    assert [(line["operation"], line["level"]) for line in git_lines] == [
        ("git_clone", "info"),
        ("git_clone", "warning"),  # the branch does not exist yet
        ("git_commit", "info"),
        ("git_push", "info"),
        ("git_clone", "info"),
    ]
    assert [line["operation"] for line in errors] == ["detect_changes", "sync_complete"]
    assert all(line["error"] for line in errors)


def program_output(sync: Sync) -> str:
    """Return the standard output of the program `git-sync run`."""
    out, err = sync.start("run").communicate()
    assert err == ""
    return out


# -- docs/contracts.md ------------------------------------------------------------------------


PUBLISHED = (
    contracts.State,
    contracts.ClusterState,
    contracts.LastSuccess,
    contracts.RunResult,
    contracts.ClusterResult,
    Counters,
    ChangeSummary,
    Count,
    ImageChange,
    ModifiedFiles,
    NotInspected,
    SecurityChange,
    contracts.Run,
    contracts.Shard,
    contracts.Verdict,
    contracts.ClusterFailure,
    rows.ManifestHeader,
    rows.ManifestFooter,
    rows.RowsHeader,
    rows.BaselineHeader,
    rows.TipHeader,
)


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.__name__)
def test_every_field_of_every_document_is_described(model: type[contracts.Document]) -> None:
    missing = [name for name in model.model_fields if f"`{name}`" not in DOCS["contracts.md"]]
    assert not missing, f"docs/contracts.md should describe {model.__name__}: {missing}"


@pytest.mark.parametrize(
    "values",
    [contracts.Status, contracts.Outcome, Decision, Excess, Category],
    ids=lambda values: values.__name__,
)
def test_every_value_of_every_enumeration_is_described(values: type[Enum]) -> None:
    missing = [value.value for value in values if f"`{value.value}`" not in DOCS["contracts.md"]]
    assert not missing, f"docs/contracts.md should describe {values.__name__}: {missing}"


def test_state_example_is_a_complete_state() -> None:
    (example,) = blocks(DOCS["contracts.md"], "json")
    state = State.model_validate_json(example)
    assert json.loads(example) == state.model_dump(mode="json"), "a field is missing"


def test_manifest_example_is_an_intact_manifest(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```\n(\{.*?)^```$", DOCS["contracts.md"], re.MULTILINE | re.DOTALL)
    manifest = tmp_path / "east"
    manifest.write_text(example)
    states = [row.state for row in read_rows(manifest, ManifestRow)]
    assert states == [Reason.GIT_FILE, FETCHED, UNCHANGED]
    assert RowFile(manifest).header(rows.ManifestHeader).cluster == "east"
    assert RowFile(manifest).footer(rows.ManifestFooter).fetched == 1


def test_contracts_lists_every_file_of_a_run(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({"clusterbackup/east/a.yaml": b"a", "clusterbackup/west/b.yaml": b"b"})
    assert sync().exit == 0
    table = DOCS["contracts.md"]
    for path in sync.work_dir.rglob("*"):
        where = path.relative_to(sync.work_dir).as_posix()
        if path.is_dir() or where.startswith((".git/", "clusterbackup/")):
            continue
        name = re.sub(r"^\.git-sync/runs/[^/]+/", "", where)
        name = re.sub(r"/(east|west)$", "/<cluster>", name)
        assert f"`{name}`" in table, f"docs/contracts.md should list {name}"


# -- docs/troubleshooting.md, docs/guards.md ----------------------------------------------------


_ERRORS = {
    *("TryAgain", "FixConfiguration", "FixCommandLine", "Damaged"),
    *("kind", "_translated", "ValueError"),
}
_LINES = {"logs.warning", "logs.error"}
_SHORTEST = 5


class LoggedText(NamedTuple):
    """A constant text of the code that can be part of a log line."""

    where: str
    text: str


def logged_texts() -> Iterator[LoggedText]:
    """Return the longest constant part of every literal argument of an error or a warning."""
    for path in sorted((ROOT / "steps").rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        raised_outside_settings = path.parent.name != "settings"
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            if name not in _ERRORS | _LINES or (name == "ValueError" and raised_outside_settings):
                continue
            keyed = [keyword.value for keyword in call.keywords if keyword.arg == "error"]
            for argument in [*call.args, *keyed]:
                text = max(_constants(argument), key=len, default="").strip(" :;")
                if len(text) >= _SHORTEST:
                    yield LoggedText(f"{where}:{call.lineno}", text)
    for text in [
        *MESSAGES.values(),
        *CAUSES,
        *REFUSALS.values(),
        *REASONS.values(),
    ]:
        yield LoggedText("steps/clients/git/errors.py, steps/core", text)


def _constants(argument: ast.expr) -> list[str]:
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def plain(text: str) -> str:
    """Return text without Markdown's back-ticks and escapes, and with single spaces."""
    return re.sub(r"\s+", " ", text.replace("`", "").replace("\\|", "|"))


def test_troubleshooting_lists_every_error_and_warning() -> None:
    page = plain(DOCS["troubleshooting.md"] + DOCS["guards.md"])
    missing = sorted({logged for logged in logged_texts() if plain(logged.text) not in page})
    assert not missing, "docs/troubleshooting.md lacks:\n" + "\n".join(
        f"{m.where}: {m.text}" for m in missing
    )


def test_guards_lists_every_reason_refusal_and_limit() -> None:
    refusals = [decision.value for decision in Decision if decision.refused]
    listed = [row.split("`")[1] for row in table_rows(DOCS["guards.md"], "`[a-z_]+`")]
    assert sorted(listed) == sorted([*Reason, *refusals, *Excess])


# -- docs/limits.md -----------------------------------------------------------------------------


_UNITS = {
    "SECONDS": " s",
    "BYTES": " bytes",
    "PAGES": " pages",
    "OBJECTS": " objects",
    "CHARACTERS": " characters",
    "PUSHES": " pushes",
    "CHANGES": " changes",
}


def limit_rows() -> list[tuple[str, str]]:
    """Return the name of each limit, and its value as docs/limits.md shows it."""
    return [
        (name, shown_limit(name.rpartition("_")[2], value))
        for name, value in vars(limits).items()
        if name.isupper()
    ]


def shown_limit(suffix: str, value: int) -> str:
    for size, unit in ((2**20, " MiB"), (2**10, " KiB")):
        if suffix == "BYTES" and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value:,}{_UNITS.get(suffix, '')}"


def test_limits_lists_every_limit_once_with_its_value() -> None:
    listed = [tuple(row.split(" | ")[:2]) for row in table_rows(DOCS["limits.md"], "`[A-Z0-9_]+`")]
    assert listed == [(f"| `{name}`", value) for name, value in limit_rows()]


# -- docs/architecture.md, docs/security.md, links ----------------------------------------------


def listed_modules(tree: str) -> Iterator[str]:
    """Return every .py path in a tree drawn with lines, with four characters per level."""
    folders: list[str] = []
    for line in tree.splitlines():
        drawn, name = re.findall(r"^([│├└─ ]*)([\w./-]+)", line)[0]
        del folders[len(drawn) // 4 :]
        if name.endswith("/"):
            folders.append(name)
        elif name.endswith(".py"):
            yield "".join(folders) + name


def test_architecture_lists_every_module() -> None:
    (tree,) = re.findall(r"```\n(steps/\n.*?)```", DOCS["architecture.md"], flags=re.DOTALL)
    modules = [path for folder in ("steps", "workflows") for path in (ROOT / folder).rglob("*.py")]
    there = {path.relative_to(ROOT).as_posix() for path in modules if not path.stem.startswith("__")}
    listed = set(listed_modules(tree))
    assert listed == there, f"docs/architecture.md: add {there - listed}, remove {listed - there}"


def test_architecture_lists_every_folder_of_tests() -> None:
    (tree,) = re.findall(r"```\n(tests/\n.*?)```", DOCS["architecture.md"], flags=re.DOTALL)
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/*.py")}
    assert not [name for name in folders if f"{name}/" not in tree]
    support = {path.name for path in (ROOT / "tests" / "support").glob("*.py")} - {"__init__.py"}
    assert {line.split()[1] for line in tree.splitlines() if line.startswith("    ")} == support


@pytest.mark.parametrize("page", ["security.md", "isolation.md"])
def test_page_cites_tests_that_exist(page: str) -> None:
    cited = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(\w+)`", DOCS[page])
    assert cited
    for path, name in cited:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_isolation_names_a_test_for_every_row() -> None:
    rows = [row for row in table_rows(DOCS["isolation.md"], r"[A-Z][^|]+") if not row.startswith("| Problem")]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"\| \d+ \| `tests/", row)] == []


def test_security_names_a_test_for_every_defence() -> None:
    tables = DOCS["security.md"].split("| Threat | Defence | Test |\n|---|---|---|\n")[1:]
    rows = [row for table in tables for row in table.split("\n\n")[0].split("\n") if row.startswith("|")]
    assert rows
    assert not [row for row in rows if not re.search(r"::\w+` \|$", row)]


def test_contributing_names_files_that_exist() -> None:
    text = PAGES["CONTRIBUTING.md"]
    named = set(re.findall(r"`((?:steps|tests|workflows|images|requirements|docs)/[\w./-]*)[`:]", text))
    assert named
    assert not sorted(path for path in named if not (ROOT / path).exists())


def test_links_and_anchors_exist() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", text)):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            path = (ROOT / page).parent / name if name else ROOT / page
            assert path.exists(), f"{page}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
                assert anchor in {_anchor(heading) for heading in headings}, f"{page}: {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
