"""The run report: what it says, and that nothing in it is taken for markup or tells a secret."""

from __future__ import annotations

import html.parser
import json
import re
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from steps.contracts import ClusterResult, Outcome, Status
from steps.report import report
from steps.reporting.html import html as as_html
from steps.reporting.markdown import markdown
from steps.reporting.run_page import headline, run_page
from steps.runtime.settings.reading import read
from tests.demo import dataset
from tests.support.repositories import commit_files
from tests.support.results import EVIL, hostile, result
from tests.support.sync import Sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket


class Tags(html.parser.HTMLParser):
    """Every tag of a page with its attributes, and every text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_hostile_names_stay_text_in_html() -> None:
    plain = Tags(as_html(run_page(result(clusters=(ClusterResult(name="east", status=Status.OK),)), None)))
    page = as_html(run_page(hostile(), None))
    tags = Tags(page)
    assert {tag for tag, _ in tags.tags} <= {tag for tag, _ in plain.tags} | {"code", "li", "ul"}
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    assert "\x1b" not in page
    assert sum('<script>alert("1")</script>' in text for text in tags.texts) >= 10


def test_hostile_names_stay_text_in_markdown() -> None:
    text = markdown(run_page(hostile(), None))
    assert "\x1b" not in text
    page = Tags(MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text))
    allowed = {"h1", "h2", "p", "strong", "ul", "li", "code"}
    assert {tag for tag, _ in page.tags} == allowed | {"table", "thead", "tbody", "tr", "th", "td"}
    strong = [page.texts[n] for n in range(len(page.texts)) if page.texts[n] == "x"]
    assert strong == [], "nothing of a name is formatted"
    assert sum('<script>alert("1")</script>' in text for text in page.texts) >= 10
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5, 9}, "no name opens a cell"


def test_hostile_names_stay_on_one_line_in_the_headline() -> None:
    line = headline(hostile())
    assert line.isprintable()
    failed = headline(result(outcome=Outcome.FAILED, exit_code=30, error=EVIL))
    assert failed.isprintable()
    assert failed.startswith("git-sync: Failed on main. Exit code 30: ")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = as_html(run_page(hostile(), "https://git.example.com/x/commit/0"))
    for tag, attributes in Tags(page).tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "base", "form"}
        assert "src" not in attributes
    assert "url(" not in page
    assert "@import" not in page


@pytest.fixture
def changed(sync: Sync, bucket: Bucket) -> Sync:
    """The demo's second day: 23 new, 15 modified, 2 deleted."""
    before, after = dataset.before(), dataset.after()
    bucket.put_many(before)
    assert sync().exit == 0
    bucket.put_many({key: body for key, body in after.items() if before.get(key) != body})
    for key in before.keys() - after.keys():
        bucket.delete(key)
    result = sync(GIT_COMMIT_URL="https://git.example.com/your-org/backups/commit/{commit}")
    assert result.exit == 0
    assert result.of("git_diff", "warning") == []
    return sync


def test_a_run_leaves_its_report_as_html_and_markdown(changed: Sync) -> None:
    text = (changed.work_dir / "report.md").read_text()
    commit = changed.state["last_run"]["commit"]
    assert f"[{commit[:12]}](<https://git.example.com/your-org/backups/commit/{commit}>)" in text
    assert "**Success** 23 new, 15 modified, 2 deleted in 3 clusters." in text
    assert "| `production-east` | **ok** | 245 | 13 | 7 | 1 | 20 |" in text
    assert "revoked `patch for */configmaps, */deployments, */pods`" in text
    assert "- **Secret** `production-east/loyalty/Secret/points-credentials.yaml` new" in text
    assert (
        "- `production-east/storefront/Deployment/cart.yaml`, container `cart`: "
        "`registry.example.com/storefront/cart:1.9.0` → `registry.example.com/storefront/cart:1.9.1`"
    ) in text
    assert "| `Deployment` | 3 | 5 | 0 |" in text
    assert "| `staging/storefront` | 4 | 3 | 1 |" in text
    page = Tags((changed.work_dir / "report.html").read_text())
    assert ("a", {"href": f"https://git.example.com/your-org/backups/commit/{commit}"}) in page.tags


def test_what_changed_is_in_the_state_for_whoever_has_no_volume(changed: Sync) -> None:
    changes = changed.state["last_run"]["changes"]
    assert (changes["inspected"], changes["not_inspected"]) == (15, 0)
    assert len(changes["images"]) == 6
    assert {mark["category"] for mark in changes["security_changes"]} == {"rbac", "secret"}


def test_values_of_secrets_are_in_no_report_and_no_state(sync: Sync, bucket: Bucket) -> None:
    def secret(value: str) -> bytes:
        return f"kind: Secret\nmetadata: {{name: x}}\nstringData: {{password: {value}}}\n".encode()

    keys = [f"clusterbackup/east/shop/{path}" for path in ("Secret/a.yaml", "b.yaml", "ConfigMap/c.yaml")]
    bucket.put_many({key: secret("hunter1") for key in keys})
    assert sync().exit == 0
    bucket.put_many({key: secret("hunter2") for key in keys})
    result = sync(LOG_LEVEL="debug")
    assert result.exit == 0
    left = [path.read_text() for path in sync.work_dir.glob("*.*") if path.is_file()]
    assert len(left) >= 3
    assert not any("hunter" in text for text in (*left, result.text))
    marked = {
        mark["path"]: mark["category"] for mark in sync.state["last_run"]["changes"]["security_changes"]
    }
    assert marked == {path.removeprefix("clusterbackup/"): "secret" for path in keys}
    diffs = [line["message"] for line in result.of("git_diff")]
    assert "east/shop/b.yaml: 1 lines added, 1 removed" in diffs


def test_the_report_says_what_to_do(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many({f"clusterbackup/{name}/a/b.yaml": b"x" for name in ("east", "west")})
    assert sync().exit == 0
    bucket.delete("clusterbackup/west/a/b.yaml")
    bucket.put("clusterbackup/east/a/.gitignore", b"*")
    assert sync().exit == 20
    text = (sync.work_dir / "report.md").read_text()
    allow = next(c["allow_delete"] for c in sync.state["last_run"]["clusters"] if c["name"] == "west")
    assert text.startswith("# git-sync run report\n\n**Refused** ")
    assert f"`git-sync run --allow-delete {allow}`" in text
    assert "`east`: 1 key quarantined (git_file 1)" in text.replace("\\", "")


def test_a_failed_run_has_a_report_too(sync: Sync) -> None:
    assert sync(MINIO_BUCKET="absent").exit == 40
    text = (sync.work_dir / "report.md").read_text()
    assert text.startswith("# git-sync run report\n\n**Failed** Exit code 40: `Failed to connect to MinIO: ")


def test_a_cluster_of_which_changes_are_left_has_not_succeeded(tmp_path: Path) -> None:
    state = tmp_path / "sync-metadata.json"
    clusters = (
        ClusterResult(name="east", status=Status.OK, changes_deferred=1),
        ClusterResult(name="west", status=Status.OK),
    )
    report(state, result(clusters=clusters, exit_code=10, outcome=Outcome.PARTIAL))
    known = json.loads(state.read_text())["clusters"]
    assert {name: cluster["last_success_at"] is None for name, cluster in known.items()} == {
        "east": True,
        "west": False,
    }


def test_download_only_mode_and_dry_runs_count_by_path(
    bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    sync = Sync.between(bucket, repository, tmp_path / "only").with_settings(GIT_REPOSITORY="")
    bucket.put("clusterbackup/east/shop/Pod/a.yaml", b"kind: Pod\n")
    assert sync("run", "--dry-run").exit == 0
    assert not (sync.work_dir / "report.html").exists()
    assert sync().exit == 0
    assert sync.state["last_run"]["changes"]["kinds"]["Pod"]["added"] == 1


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("https://git.example.com/org/backups.git", "https://git.example.com/org/backups/commit/0a"),
        ("https://git.example.com:8443/org/backups/", "https://git.example.com:8443/org/backups/commit/0a"),
        ("git@git.example.com:org/backups.git", "https://git.example.com/org/backups/commit/0a"),
        ("ssh://git@git.example.com:2222/org/backups.git", "https://git.example.com/org/backups/commit/0a"),
        ("ssh://git.example.com/org/backups", "https://git.example.com/org/backups/commit/0a"),
        ("file:///srv/backups.git", None),
        ("/srv/backups.git", None),
    ],
)
def test_the_commits_page_is_found_from_the_repository(repository: str, page: str | None) -> None:
    assert read({"GIT_REPOSITORY": repository}).delivery.pages.commit_page("0a") == page


def test_the_result_stays_small_however_much_changes(sync: Sync, bucket: Bucket, repository: Path) -> None:
    pod = "kind: Pod\nspec: {{containers: [{{name: a, image: b{}}}]}}\n"
    paths = [f"clusterbackup/east/n{n}/Pod/a.yaml" for n in range(510)]
    commit_files(repository, {path: pod.format(1).encode() for path in paths})
    bucket.put_many({path: pod.format(2).encode() for path in paths})
    assert sync().exit == 0
    changes = sync.state["last_run"]["changes"]
    assert (changes["inspected"], changes["not_inspected"]) == (500, 10)
    assert (len(changes["images"]), changes["more_images"]) == (100, 400)
    assert len(json.dumps(changes)) < 40_000
    assert "10 modified files not inspected" in (sync.work_dir / "report.md").read_text()
