"""Clusters whose names are an attack, everywhere that a name travels."""

from __future__ import annotations

import html.parser
import json
import re
import shlex
from typing import TYPE_CHECKING

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
# Enough for what is about single names.
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


def shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


@pytest.fixture
def few(sync: Sync, bucket: Bucket) -> Sync:
    """Git holds one file of each of a few hostile clusters."""
    bucket.put_many(objects(FEW))
    assert sync().exit == 0
    return sync


def all_gone_but_east(bucket: Bucket) -> None:
    for key in bucket.keys("clusterbackup/"):
        if not key.startswith("clusterbackup/east/"):
            bucket.delete(key)


def test_a_run_of_hostile_clusters_is_told_truly_everywhere(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(objects(NAMES))
    assert sync().exit == 0
    assert contents(repository) == objects(NAMES)
    _check_commit(message(repository), repository)
    _check_metrics(sync)
    _check_pages(sync.work_dir)
    all_gone_but_east(bucket)
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


def _check_commit(text: str, repository: Path) -> None:
    """Its lines say what they say of `east`, and its trailers are one run's, with every name once."""
    trailers = git(repository, "interpret-trailers", "--parse", "--no-divider", stdin=text.encode()).decode()
    keys = [line.partition(": ")[0] for line in trailers.splitlines()]
    assert keys == ["Git-Sync-Run", *["Git-Sync-Listed"] * len(set(NAMES))]
    assert "forged" not in keys[0]
    lines = text.split("\n\n")[1].split("\n")
    assert lines[0] == f"Clusters processed: {len(set(NAMES))}"
    assert lines[1:] == [f"- {name}: 1 files" for name in sorted(set(NAMES))]
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
    assert labels == {shown(name) for name in NAMES}


class Tags(html.parser.HTMLParser):
    """What a page is made of; links and whatever else an attribute could do are refused at once."""

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
    written = Tags(page)
    assert written.tags <= _PAGE
    assert set(map(shown, NAMES)) <= set(written.code)
    text = (directory / "report.md").read_text()
    rendered = Tags(MarkdownIt("commonmark").enable("table").render(text))
    assert rendered.tags <= _TEXT | {"strong"}
    # CommonMark takes a space from each end of a code span that is not all spaces.
    assert {shown(name).strip() for name in NAMES} <= {code.strip() for code in rendered.code}
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(_cells(row)) for row in rows} <= {8, 4}
    for told in (page, text):
        assert not CONTROL.search(told.replace("\n", ""))


def _cells(row: str) -> list[str]:
    """The cells of a row as GitHub splits them: any backslash escapes what follows it."""
    return re.findall(r"(?:\\.|[^|\\])+", row.strip("|"))


def _check_log(result: CommandResult) -> None:
    assert result.text.isascii()
    assert not CONTROL.search(result.text.replace("\n", ""))
    refusals = result.of("detect_changes", "error")
    assert {line["data"]["cluster"] for line in refusals} == {
        shown(name)[:200] for name in NAMES if len(name) <= 200 and name != "east"
    } | {f"{name[:200]}\u2026 ({len(name)} characters)" for name in NAMES if len(name) > 200}


def _check_arguments(result: CommandResult) -> None:
    """No name is an argument of its own, and so none can be an option."""
    lists = [line["data"]["arguments"] for line in result.of("git_command")]
    assert len(lists) > 3
    assert not {argument for arguments in lists for argument in arguments} & set(NAMES)


def test_text_for_people_holds_no_control_character(few: Sync, bucket: Bucket) -> None:
    all_gone_but_east(bucket)
    result = few(LOG_FORMAT="text", LOG_LEVEL="debug")
    assert result.exit == 20
    assert all(line.isprintable() for line in result.text.split("\n"))


def by_each_refusal(result: CommandResult) -> list[str]:
    found = [
        re.search(r"git-sync run (--allow-delete .*)$", line["error"])
        for line in result.of("detect_changes", "error")
    ]
    return [word for match in found if match for word in shlex.split(match[1])]


def by_the_one_command(result: CommandResult) -> list[str]:
    (line,) = [
        line["message"] for line in result.of("detect_changes", "warning") if "at once" in line["message"]
    ]
    return shlex.split(line.partition("git-sync run ")[2])


def by_what_publish_says(result: CommandResult) -> list[str]:
    return [
        f"--allow-delete={shlex.split(found)[0]}"
        for found in re.findall(r"allow-delete=(.*?)\)(?:; |$)", result.errors)
    ]


def by_the_setting(result: CommandResult) -> list[str]:
    data = [line["data"]["allow_delete"] for line in result.of("detect_changes", "error")]
    return ["--allow-delete", ",".join(data)]


@pytest.mark.parametrize(
    "reading", [by_each_refusal, by_the_one_command, by_what_publish_says, by_the_setting]
)
def test_the_loss_of_any_cluster_is_allowed_by_what_is_printed(
    reading: Callable[[CommandResult], list[str]], few: Sync, bucket: Bucket, repository: Path
) -> None:
    all_gone_but_east(bucket)
    result = few()
    assert result.exit == 20
    allowed = few("run", *reading(result))
    assert allowed.exit == 0
    assert contents(repository) == {"clusterbackup/east/ns/x.yaml": b"x"}
    assert not [line for line in allowed.of("detect_changes", "warning") if "no deletions" in line["message"]]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\n"), min_size=1, max_size=40)


@given(names, names)
def test_an_allowance_is_one_word_that_names_one_cluster(name: str, other: str) -> None:
    token = "0123456789abcdef"
    word = approval(name, token)
    assert word.isprintable()
    assert not set(" ,{}") & set(word)
    assert read({"ALLOW_DELETE": f"{word},x:{token}"}).guards.allow_delete == (word, f"x:{token}")
    assert is_approved(name, token, (word,))
    if name != other and approval(other, token) != f"{name}:{token}" != f"{other}:{token}":
        assert not is_approved(other, token, (word,)) or word == f"{other}:{token}"


def test_a_cluster_is_selected_whatever_it_is_called(few: Sync, bucket: Bucket, repository: Path) -> None:
    for name in ("--help", "-x", "#comment", "a:b"):
        bucket.put(f"clusterbackup/{name}/ns/new.yaml", b"new")
        assert few("run", "--clusters", name).exit == 0
        assert contents(repository)[f"clusterbackup/{name}/ns/new.yaml"] == b"new"


def test_what_argo_and_kubernetes_are_told_is_harmless(few: Sync, bucket: Bucket, tmp_path: Path) -> None:
    bucket.clear("clusterbackup/{{workflow.name}}/")
    assert few("discover", "--run-id", "r", MAX_SHARDS="100").exit == 0
    shards = json.loads((few.work_dir / ".git-sync/runs/r/shards.json").read_text())
    assert [shard["index"] for shard in shards] == list(range(len(FEW)))
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", shard["label"]) for shard in shards)
    for step in ("download", "detect"):
        assert few(step).exit == 0
    assert few("publish").exit == 20
    word = tmp_path / "termination-log"
    word.touch()
    write_termination_message(word)
    result = word.read_text()
    assert "{{" not in result
    (allowed,) = re.findall(r"allow-delete=(\S+)\)", result)
    assert few("run", "--allow-delete", allowed).exit == 0


# -- pages, whatever the name -----------------------------------------------------------------

any_name = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("|\\`<>[]()*_~!#@&{}\"' "), min_size=1
)


@example(["a\\|b", "\\\\|", "\\"])
@given(st.lists(any_name, min_size=1, max_size=3, unique=True))
def test_no_name_changes_the_shape_of_a_page(clusters: list[str]) -> None:
    """Also those that others have pushed to Git, with whatever characters."""
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
    "attack", ["<!channel>", "@everyone", "[here](http://evil.example)", "<http://evil.example|x>"]
)
def test_no_name_rings_a_bell_or_hides_a_link_in_a_chat(attack: str, sync: Sync, bucket: Bucket) -> None:
    """An error may name what the bucket holds; chat programs get it as a line of text."""
    bucket.put(f"{attack.replace('/', '')}/x", b"x")
    assert sync().exit == 40
    result = RunResult.model_validate(sync.state["last_run"])
    line = headline(result)
    assert not set("<>[]@") & set(line)
    assert attack[1:5] in line
