"""The sections of a report about what changed."""

from __future__ import annotations

from steps.core.git_objects import Change
from steps.kubernetes.categories import Category
from steps.kubernetes.change_summary import (
    ChangeSummary,
    Count,
    ImageChange,
    ModifiedFiles,
    NotInspected,
    SecurityChange,
)
from steps.reporting.changes import counts_of_changes, important_changes, modified_words
from steps.reporting.html import html
from steps.reporting.markdown import markdown
from steps.reporting.page import Badge, Block, Page, Tone

BINDING = SecurityChange(
    object="ClusterRoleBinding helpers",
    path="prod/x.yaml",
    change=Change.ADDED,
    category=Category.RBAC,
    is_sensitive=True,
    granted=("ClusterRole/cluster-admin to Group dev",),
)


def text(*blocks: Block) -> str:
    return markdown(Page("t", Badge("b", Tone.PLAIN), (), blocks))


def test_security_changes_come_first_with_their_grants() -> None:
    image = ImageChange(object="Deployment a/b", path="p", container="c", before="x:1", after="x:2")
    summary = ChangeSummary(security_changes=(BINDING,), images=(image,), security_metadata_only=2)
    found = text(*important_changes(summary))
    grant = "+ `ClusterRole/cluster-admin to Group dev`"
    assert f"- **RBAC** `ClusterRoleBinding helpers` new: {grant} in `prod/x.yaml`" in found
    assert "2 more security-relevant objects changed only in labels or annotations." in found
    assert "- `Deployment a/b`, container `c`: `x:1` → `x:2`" in found
    assert found.index("RBAC") < found.index("Images")


def test_secret_lists_the_names_of_its_changed_values() -> None:
    one = SecurityChange(
        object="Secret shop/db",
        path="p",
        change=Change.MODIFIED,
        category=Category.SECRET,
        keys_added=("a",),
        keys_removed=("b",),
        keys_changed=("c",),
    )
    found = text(*important_changes(ChangeSummary(security_changes=(one,))))
    assert "`Secret shop/db`: + key `a`; - key `b`; changed key `c` in `p`" in found


def test_file_that_is_not_inspected_says_so() -> None:
    one = SecurityChange(object="", path="p/q", change=Change.MODIFIED, category=Category.RBAC)
    assert "`p/q` modified (not inspected)" in text(
        *important_changes(ChangeSummary(security_changes=(one,)))
    )


def test_long_list_is_folded() -> None:
    summary = ChangeSummary(security_changes=(BINDING,) * 30, more_security_changes=7)
    page = Page("t", Badge("b", Tone.PLAIN), (), tuple(important_changes(summary)))
    assert "<details><summary>20 more</summary>" in html(page)
    assert "… and 7 more." in markdown(page)


def test_counts_have_a_column_for_volatile_changes_if_there_are_any() -> None:
    plain = text(*counts_of_changes(ChangeSummary(kinds={"Pod": Count(added=1)})))
    assert "| Kind | New | Modified | Deleted |" in plain
    volatile = text(*counts_of_changes(ChangeSummary(kinds={"Pod": Count(volatile=3)})))
    assert "| `Pod` | 0 | 0 | 0 | 3 |" in volatile


def test_files_that_are_not_inspected_are_named_with_their_reason() -> None:
    summary = ChangeSummary(
        not_inspected=(NotInspected(path="a/b", reason="not UTF-8"),), more_not_inspected=4
    )
    found = text(*counts_of_changes(summary))
    assert "5 changed files not inspected for objects, images and grants." in found
    assert "- `a/b`: not UTF-8" in found


def test_modified_files_are_described_by_their_level() -> None:
    assert modified_words(ModifiedFiles(substance=2, volatile=9)) == (
        "2 in substance, 9 only in volatile fields"
    )
    assert modified_words(ModifiedFiles(substance=2)) == ""
