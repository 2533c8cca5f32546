"""Hostile cluster names, in every place where a name is shown."""

from __future__ import annotations

import html.parser
import json
import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from steps.cli import write_termination_message
from steps.contracts import ClusterResult, Mode, Outcome, RunResult, State, Status
from steps.core.deletion_guard import Decision, approval, is_approved
from steps.kubernetes.change_summary import ChangeSummary, Count
from steps.reporting.html import html as as_html
from steps.reporting.markdown import markdown
from steps.reporting.metrics import exposition
from steps.reporting.run_page import headline, run_page
from steps.runtime.settings.reading import read
from tests.hostile.grammar import CLUSTERS
from tests.support.receiver import receiver
from tests.support.repositories import contents, git, message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import CommandResult, Sync

NAMES = [
    *CLUSTERS,
    *(
        "<!channel>",
        "@everyone",
        "[x](http:evil)",
        "http:evil.example",
        "www.evil.example",
        "me@evil.example",
    ),
    *(
        "a:0123456789abcdef,b",
        "a:0123456789abcdef",
        "\u2028Git-Sync-Run: forged",
        "-- x",
        "---",
        "- name: 5 files",
    ),
    *("\u00a0nbsp", "|", "||", "`", "``", "*", "<", "&lt;", "'", '"', "{{=1+1}}", "n" * 255, "\u00fc" * 127),
]
# A selection, for tests that look at each name.
FEW = [
    *(
        "east",
        "--help",
        "#comment",
        "a:b",
        " edges ",
        "{{workflow.name}}",
        'it\'s "q"',
        "%2e%2e",
        "<!channel>",
    ),
    *("a,b", "a:0123456789abcdef,b", "z\u200d\u00a0\u2028\ue000\ufeff", "\u00fc" * 127),
]


def objects(names: list[str]) -> dict[str, bytes]:
    return {f"clusterbackup/{name}/ns/x.yaml": b"x" for name in names}


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


@pytest.fixture
def few(sync: Sync, bucket: Bucket) -> Sync:
    """Sync one file of each of a few hostile clusters."""
    bucket.put_many(objects(FEW))
    assert sync().exit == 0
    return sync


def delete_all_but_east(bucket: Bucket) -> None:
    for key in bucket.keys("clusterbackup/"):
        if not key.startswith("clusterbackup/east/"):
            bucket.delete(key)


def test_hostile_cluster_names_are_shown_safely_in_every_output(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(objects(NAMES))
    assert sync().exit == 0
    assert contents(repository) == objects(NAMES)
    _check_commit(message(repository), repository)
    _check_metrics(sync)
    _check_pages(sync.work_dir)
    delete_all_but_east(bucket)
    with receiver() as hook:
        result = sync(WEBHOOK_URL=hook.url, LOG_LEVEL="debug")
        (delivery,) = hook.got
    assert result.exit == 20
    _check_log(result)
    _check_arguments(sync.elsewhere(sync.work_dir.with_name("new"))("discover", LOG_LEVEL="debug"))
    _check_pages(sync.work_dir)
    body = json.loads(delivery.body)
    assert delivery.body.isascii()
    assert {cluster["name"] for cluster in body["run"]["clusters"]} == set(NAMES)
    assert body["text"].isprintable()
    assert contents(repository) == objects(NAMES)


def quoted(name: str) -> str:
    return quote(name, safe="").replace("~", "%7E")


def _check_commit(text: str, repository: Path) -> None:
    """Check that the message has the usual lines, and trailers of one run with each name once."""
    trailers = git(repository, "interpret-trailers", "--parse", "--no-divider", stdin=text.encode()).decode()
    keys = [line.partition(": ")[0] for line in trailers.splitlines()]
    assert keys == ["Git-Sync-Run", *["Git-Sync-Listed"] * len(set(NAMES))]
    assert "forged" not in keys[0]
    lines = text.split("\n\n")[1].split("\n")
    assert lines[0] == f"Clusters processed: {len(set(NAMES))}"
    assert lines[1:] == [f"- {quoted(name)}: 1 files" for name in sorted(set(NAMES))]
    assert git(repository, "log", "-1", "--format=%(trailers:key=Git-Sync-Run,valueonly)").strip() not in {
        b"",
        b"forged",
    }
    assert not CONTROL.search(text.replace("\n", ""))


def _check_metrics(sync: Sync) -> None:
    text = exposition(read(sync.settings).http, State.model_validate(sync.state))[0].decode()
    labels = {
        sample.labels["cluster"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "git_sync_cluster_files"
    }
    assert labels == {printable(name) for name in NAMES}


class Tags(html.parser.HTMLParser):
    """Collects the tags and code texts of a page, and rejects links and unknown attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.code: list[str] = []
        self._in_code = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {
            "class",
            "content",
            "charset",
            "data-head",
            "lang",
            "name",
            "scope",
            "style",
        }
        assert {value for name, value in attrs if name == "style"} <= {"text-align:right"}
        if tag == "code":
            self._in_code = True
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_code = self._in_code and tag != "code"

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.code[-1] += data


_TEXT = {"h1", "h2", "p", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td"}
_PAGE = _TEXT | {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "span"}


def _check_pages(directory: Path) -> None:
    page = (directory / "report.html").read_text()
    html_page = Tags(page)
    assert html_page.tags <= _PAGE
    assert set(map(printable, NAMES)) <= set(html_page.code)
    text = (directory / "report.md").read_text()
    markdown_page = Tags(MarkdownIt("commonmark").enable("table").render(text))
    assert markdown_page.tags <= _TEXT | {"strong"}
    # CommonMark strips one space from each end of a code span, unless it has only spaces.
    assert {printable(name).strip() for name in NAMES} <= {code.strip() for code in markdown_page.code}
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(_cells(row)) for row in rows} <= {8, 4}
    for output in (page, text):
        assert not CONTROL.search(output.replace("\n", ""))


def _cells(row: str) -> list[str]:
    """Return the cells of a row as GitHub splits them: a backslash escapes the next character."""
    return re.findall(r"(?:\\.|[^|\\])+", row.strip("|"))


def _check_log(result: CommandResult) -> None:
    assert result.text.isascii()
    assert not CONTROL.search(result.text.replace("\n", ""))
    refusals = result.of("detect_changes", "error")
    assert {line["data"]["cluster"] for line in refusals} == {
        printable(name)[:200] for name in NAMES if len(name) <= 200 and name != "east"
    } | {f"{name[:200]}\u2026 ({len(name)} characters)" for name in NAMES if len(name) > 200}


def _check_arguments(result: CommandResult) -> None:
    """Check that no argument is a name, so that a name cannot be an option."""
    lists = [line["data"]["arguments"] for line in result.of("git_command")]
    assert lists
    assert not {argument for arguments in lists for argument in arguments} & set(NAMES)


def test_text_log_has_no_control_characters(few: Sync, bucket: Bucket) -> None:
    delete_all_but_east(bucket)
    result = few(LOG_FORMAT="text", LOG_LEVEL="debug")
    assert result.exit == 20
    assert all(line.isprintable() for line in result.text.split("\n"))


def from_each_refusal(result: CommandResult) -> list[str]:
    found = [
        re.search(r"git-sync run (--allow-delete .*)$", line["error"])
        for line in result.of("detect_changes", "error")
    ]
    return [option for match in found if match for option in shlex.split(match[1])]


def from_the_common_command(result: CommandResult) -> list[str]:
    warnings = [line["message"] for line in result.of("detect_changes", "warning")]
    (line,) = [message for message in warnings if "approve all refused deletions" in message]
    return shlex.split(line.partition("git-sync run ")[2])


def from_the_error_of_publish(result: CommandResult) -> list[str]:
    return [
        f"--allow-delete={shlex.split(found)[0]}"
        for found in re.findall(r"allow-delete=(.*?)\)(?:; |$)", result.errors)
    ]


def from_the_setting(result: CommandResult) -> list[str]:
    data = [line["data"]["allow_delete"] for line in result.of("detect_changes", "error")]
    return ["--allow-delete", ",".join(data)]


@pytest.mark.parametrize(
    "read_options", [from_each_refusal, from_the_common_command, from_the_error_of_publish, from_the_setting]
)
def test_printed_options_approve_the_deletion_of_any_cluster(
    read_options: Callable[[CommandResult], list[str]], few: Sync, bucket: Bucket, repository: Path
) -> None:
    delete_all_but_east(bucket)
    result = few()
    assert result.exit == 20
    allowed = few("run", *read_options(result))
    assert allowed.exit == 0
    assert contents(repository) == {"clusterbackup/east/ns/x.yaml": b"x"}
    assert not [line for line in allowed.of("detect_changes", "warning") if "no deletions" in line["message"]]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\n"), min_size=1, max_size=40)


@given(names, names)
def test_approval_is_one_word_for_exactly_one_cluster(name: str, other: str) -> None:
    token = "0123456789abcdef"
    value = approval(name, token)
    assert value.isprintable()
    assert not set(" ,{}") & set(value)
    assert read({"ALLOW_DELETE": f"{value},x:{token}"}).guards.allow_delete == (value, f"x:{token}")
    assert is_approved(name, token, (value,))
    if name != other and approval(other, token) != f"{name}:{token}" != f"{other}:{token}":
        assert not is_approved(other, token, (value,)) or value == f"{other}:{token}"


def test_clusters_option_selects_hostile_names(few: Sync, bucket: Bucket, repository: Path) -> None:
    for name in ("--help", "-x", "#comment", "a:b"):
        bucket.put(f"clusterbackup/{name}/ns/new.yaml", b"new")
        assert few("run", "--clusters", name).exit == 0
        assert contents(repository)[f"clusterbackup/{name}/ns/new.yaml"] == b"new"


def test_shards_and_termination_message_contain_no_hostile_name(
    few: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.clear("clusterbackup/{{workflow.name}}/")
    assert few("discover", "--run-id", "r", MAX_SHARDS="100").exit == 0
    shards = json.loads((few.work_dir / ".git-sync/runs/r/shards.json").read_text())
    assert len(set(shards)) == len(FEW)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in shards)
    for step in ("download", "detect"):
        assert few(step).exit == 0
    assert few("publish").exit == 20
    message_file = tmp_path / "termination-log"
    message_file.touch()
    write_termination_message(message_file)
    result = message_file.read_text()
    assert "{{" not in result
    (allowed,) = re.findall(r"allow-delete=(\S+)\)", result)
    assert few("run", "--allow-delete", allowed).exit == 0


# -- pages with any names -------------------------------------------------------------------------

any_name = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("|\\`<>[]()*_~!#@&{}\"' "), min_size=1
)


@example(["a\\|b", "\\\\|", "\\"])
@given(st.lists(any_name, min_size=1, max_size=3, unique=True))
def test_page_structure_does_not_depend_on_names(clusters: list[str]) -> None:
    """Includes names that other users may push to Git."""
    page = run_page(_result(clusters), None)
    plain = run_page(_result([f"c{number}" for number in range(len(clusters))]), None)
    assert Tags(as_html(page)).tags == Tags(as_html(plain)).tags
    render = MarkdownIt("commonmark").enable("table").render
    assert _shape(render(markdown(page))) == _shape(render(markdown(plain)))
    rows = [
        [len(_cells(row)) for row in markdown(p).splitlines() if row.startswith("|")] for p in (page, plain)
    ]
    assert rows[0] == rows[1]


def _shape(page: str) -> list[str]:
    return re.findall(r"</?[a-z0-9]+", page)


def _result(clusters: list[str]) -> RunResult:
    at = "2025-07-12T12:00:00Z"
    return RunResult.model_validate(
        {
            "run_id": "r",
            "identity": "0",
            "started_at": at,
            "finished_at": at,
            "mode": Mode.INCREMENTAL,
            "outcome": Outcome.REFUSED,
            "exit_code": 20,
            "exit_codes": (20,),
            "branch": "main",
            "clusters": [
                ClusterResult(
                    name=name,
                    status=Status.REFUSED,
                    decision=Decision.REFUSED_VANISHED,
                    deletions_refused=1,
                    allow_delete=approval(name, "0" * 16),
                    quarantined={"git_file": 1},
                    quarantined_sample=(name,),
                )
                for name in clusters
            ],
            "changes": ChangeSummary(
                kinds={name: Count(added=1) for name in clusters},
                namespaces={name: Count(added=1) for name in clusters},
            ),
        }
    )


@pytest.mark.parametrize(
    "attack", ["<!channel>", "@everyone", "[here](http://evil.example)", "<http://evil.example|x>", "#1234"]
)
def test_headline_contains_no_mention_or_link_for_chat_programs(
    attack: str, sync: Sync, bucket: Bucket
) -> None:
    """An error may contain names from the bucket; chat programs receive it as a line of text."""
    bucket.put(f"{attack.replace('/', '')}/x", b"x")
    assert sync().exit == 40
    result = RunResult.model_validate(sync.state["last_run"])
    line = headline(result)
    assert not set("<>[]@#") & set(line)
    assert attack[1:5] in line
