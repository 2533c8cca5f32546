"""The bugs to seed into steps/, one at a time, and the test that must catch each."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.mutants.edits import (
    Delete,
    NoMatch,
    Replace,
    Swap,
    Text,
    Value,
    Without,
    always,
    find_scope,
    never,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mutants.edits import Edit


@dataclass(frozen=True)
class Mutant:
    """One bug: an edit of ``where``, a file or ``file::Class.function``. ``test`` is a pytest node id."""

    name: str
    where: str
    edit: Edit
    test: str

    @property
    def file(self) -> str:
        return self.where.partition("::")[0]

    def mutated(self, root: Path) -> str:
        """Return the text of the file below ``root`` with the bug. Raises NoMatch."""
        path = root / self.file
        try:
            tree = ast.parse(path.read_text())
            self.edit.apply(find_scope(tree, self.where.partition("::")[2]))
        except (NoMatch, FileNotFoundError) as problem:
            raise NoMatch(f"{self.name} ({self.where}): {problem}") from problem
        return ast.unparse(tree) + "\n"


# Writes the manifest of a cluster without objects.
_EMPTY_MANIFEST = """\
from steps.workdir.rowfile import write_rows
header = ManifestHeader(run_id=self._run.run_id, cluster=name, listed_at=self._run.started_at)
counts = dict.fromkeys(ManifestFooter.model_fields, 0)
counts |= {"quarantined": {}, "quarantined_sample": (), "unavailable_sample": (), "newest_object_at": None}
write_rows(self._files.manifest(name), header, (), lambda: ManifestFooter(**counts))
return self._read(name)
"""

MUTANTS = (
    # -- reading the bucket --
    Mutant(
        "412 treated as a deletion",
        "steps/clients/s3/store.py::ObjectStore._chunks",
        Replace("raise _Changed from None", "raise Gone from None"),
        "tests/runs/test_failures.py::test_object_changed_between_list_and_get_is_committed_as_fetched",
    ),
    Mutant(
        "404 accepted without a second request",
        "steps/clients/s3/store.py::ObjectStore._chunks",
        Replace("raise _NotFound from None", "raise Gone from None"),
        "tests/runs/test_failures.py::test_single_404_for_an_existing_object_is_retried",
    ),
    Mutant(
        "no MD5 check",
        "steps/clients/s3/store.py::ObjectStore._fetch",
        Replace("is_md5 = A == B", "is_md5 = True"),
        "tests/runs/test_failures.py::test_transient_fault_is_retried[a flipped bit]",
    ),
    Mutant(
        "damaged bytes accepted as those of a store without MD5 ETags",
        "steps/clients/s3/store.py::ObjectStore._fetch",
        Replace("is_md5 or A or not B", "is_md5 or mismatch or not B"),
        "tests/runs/test_failures.py::test_transient_fault_is_retried[a flipped bit]",
    ),
    Mutant(
        "no length check",
        "steps/clients/s3/store.py::ObjectStore._get",
        never("A != B.size"),
        "tests/runs/test_failures.py::test_object_smaller_than_listed_is_requested_again",
    ),
    Mutant(
        "more bytes than were listed are written",
        "steps/clients/s3/store.py::ObjectStore._get",
        never("... > A.size"),
        "tests/runs/test_failures.py::test_object_larger_than_listed_is_not_written",
    ),
    Mutant(
        "MAX_OBJECT_BYTES ignored for an object that changed after the listing",
        "steps/clients/s3/store.py::ObjectStore._current",
        never("A.size > max_bytes"),
        "tests/clients/s3/test_store.py::test_object_that_outgrew_the_limit_is_too_large",
    ),
    Mutant(
        "partial listing accepted: no request after the last key",
        "steps/clients/s3/listing.py::Listing.__iter__",
        Replace("came or A", "A"),
        "tests/runs/test_failures.py::test_truncated_listing_without_is_truncated_is_completed",
    ),
    Mutant(
        "partial listing accepted: keys out of order",
        "steps/clients/s3/listing.py::Listing._check",
        Without("last is not None and A.key < B.key"),
        "tests/runs/test_failures.py::test_transient_fault_is_retried[keys out of order]",
    ),
    Mutant(
        "partial listing accepted: one empty answer suffices",
        "steps/clients/s3/listing.py::Listing.__iter__",
        Replace("empty_answers < 2", "empty_answers < 1"),
        "tests/runs/test_failures.py::test_empty_listing_is_requested_twice",
    ),
    Mutant(
        "partial listing accepted: a truncated page without a token is the last one",
        "steps/clients/s3/listing.py::Page.__init__",
        never("not self.token"),
        "tests/workdir/test_cache.py::test_truncated_page_without_a_token_is_not_an_empty_cluster",
    ),
    Mutant(
        "keys outside the prefix accepted",
        "steps/clients/s3/listing.py::Listing._check",
        Without("not A.key.startswith(...)"),
        "tests/runs/test_failures.py::test_transient_fault_is_retried[keys of another prefix]",
    ),
    Mutant(
        "any server clock accepted",
        "steps/clients/s3/transport.py::ServerClock.now",
        always("abs(...) <= _MAX_CLOCK_SKEW"),
        "tests/runs/test_failures.py::test_server_clock_years_ahead_does_not_hide_later_changes",
    ),
    Mutant(
        "deletions not confirmed by a request",
        "steps/planning/manifest.py::Manifest._prove_absent",
        never("A.store.exists(...)"),
        "tests/runs/test_failures.py::test_object_missing_from_a_listing_is_requested_before_it_is_deleted",
    ),
    # -- keys --
    Mutant(
        ".git spelling accepted: NTFS short name",
        "steps/core/keys.py::_segment_rejection",
        Without("_NTFS_SHORT_GIT.fullmatch(...)"),
        "tests/core/test_keys.py::test_path_that_git_refuses_is_rejected",
    ),
    Mutant(
        ".git spelling accepted: capitals",
        "steps/core/keys.py::_segment_rejection",
        Replace("A.casefold()", "A"),
        "tests/core/test_keys.py::test_path_that_git_refuses_is_rejected",
    ),
    Mutant(
        ".git spelling accepted: characters that macOS ignores",
        "steps/core/keys.py::_segment_rejection",
        Replace("_HFS_IGNORED.sub('', A)", "A"),
        "tests/core/test_keys.py::test_dot_git_with_any_inserted_character_is_rejected_or_harmless",
    ),
    Mutant(
        ".gitattributes accepted",
        "steps/core/keys.py",
        Without("'.gitattributes'"),
        "tests/runs/test_deletion_guard.py::test_bad_keys_are_quarantined_and_good_keys_are_committed",
    ),
    Mutant(
        "keys with .. accepted",
        "steps/core/keys.py::_segment_rejection",
        never("A in {'.', '..'}"),
        "tests/runs/test_deletion_guard.py::test_bad_keys_are_quarantined_and_good_keys_are_committed",
    ),
    Mutant(
        "path conflict ignored: in the listing",
        "steps/planning/manifest.py::Manifest._decisions",
        Replace("conflicting = ...", "conflicting = False"),
        "tests/runs/test_deletion_guard.py::test_key_that_is_both_file_and_directory_keeps_the_children",
    ),
    Mutant(
        "path conflict ignored: with files that Git must keep",
        "steps/core/changes.py::plan_changes",
        never("A.kept"),
        "tests/runs/test_deletion_guard.py::test_path_with_a_refused_deletion_is_not_replaced",
    ),
    # -- guards --
    Mutant(
        "foreign files: trailers of git-sync ignored",
        "steps/publishing/foreign.py::ForeignSearch._may_be_ours",
        Replace("commit.trailers.run_id is not None", "False"),
        "tests/publishing/test_foreign.py::test_forged_trailer_keeps_the_refusal",
    ),
    Mutant(
        "foreign files: earlier commits of git-sync at the path ignored",
        "steps/publishing/foreign.py::ForeignSearch._pushed_by_others",
        Replace("del A[B]", "pass"),
        "tests/publishing/test_foreign.py::test_file_that_a_run_has_deleted_and_another_user_has_restored_is_not_foreign",
    ),
    Mutant(
        "foreign files: backups older than the first run",
        "steps/publishing/foreign.py::ForeignSearch._pushed_by_others",
        Replace("is_on_top = ...", "is_on_top = True"),
        "tests/publishing/test_foreign.py::test_backups_of_a_replaced_history_are_not_foreign",
    ),
    Mutant(
        "foreign files: absence not proven",
        "steps/planning/manifest.py::Manifest._prove_absences",
        Replace("may_be_foreign = ...", "may_be_foreign = False"),
        "tests/publishing/test_foreign.py::test_foreign_file_is_not_removed_if_the_bucket_has_it_but_does_not_list_it",
    ),
    Mutant(
        "planted paths in the plan published",
        "steps/planning/plan.py::checked_rows",
        never("reason"),
        "tests/publishing/test_commit.py::test_publish_refuses_a_planted_path_in_the_plan",
    ),
    Mutant(
        "guard off by one: the count",
        "steps/core/deletion_guard.py::decide",
        Replace("A.deletions > B.max_delete_count", "A.deletions > B.max_delete_count + 1"),
        "tests/core/test_deletion_guard.py::test_decide_refuses_only_over_count_and_percentage",
    ),
    Mutant(
        "guard off by one: the percentage",
        "steps/core/deletion_guard.py::decide",
        Replace("A > B.max_delete_percent", "A >= B.max_delete_percent"),
        "tests/core/test_deletion_guard.py::test_decide_refuses_only_over_count_and_percentage",
    ),
    Mutant(
        "guard: one exceeded bound refuses",
        "steps/core/deletion_guard.py::decide",
        Replace("A.deletions > B.max_delete_count and C", "A.deletions > B.max_delete_count or C"),
        "tests/core/test_deletion_guard.py::test_decide_refuses_only_over_count_and_percentage",
    ),
    Mutant(
        "vanished cluster deleted",
        "steps/core/deletion_guard.py::decide",
        never("... is Vanished.REFUSE"),
        "tests/runs/test_deletion_guard.py::test_vanished_cluster_stays_in_git_until_its_deletions_are_approved",
    ),
    Mutant(
        "empty bucket treated as a vanished cluster",
        "steps/core/deletion_guard.py::decide",
        never("bucket_is_empty"),
        "tests/runs/test_deletion_guard.py::test_empty_prefix_deletes_nothing_with_every_cluster_vanished_setting",
    ),
    Mutant(
        "cluster over its limits treated as an empty bucket",
        "steps/planning/planner.py::Planner._bucket_is_empty",
        never("A.status in ..."),
        "tests/runs/test_intake_limits.py::test_bucket_with_only_skipped_clusters_does_not_count_as_empty",
    ),
    Mutant(
        "objects that a filter excludes treated as an empty bucket",
        "steps/planning/planner.py::Planner._bucket_is_empty",
        never("A.clusters_excluded"),
        "tests/runs/test_deletion_guard.py::test_filtered_run_without_objects_does_not_treat_the_bucket_as_empty",
    ),
    Mutant(
        "CLUSTER_VANISHED=delete applied to a filtered cluster",
        "steps/core/deletion_guard.py::decide",
        always("not excluded"),
        "tests/runs/test_deletion_guard.py::test_vanished_namespace_is_a_mass_deletion_not_a_vanished_cluster",
    ),
    Mutant(
        "approval of any set of deletions",
        "steps/core/deletion_guard.py::is_approved",
        Replace("return ...", "return any(given.startswith(approval(cluster, '')) for given in approvals)"),
        "tests/runs/test_deletion_guard.py::test_approval_of_one_set_of_deletions_allows_no_other_set",
    ),
    Mutant(
        "approval of the same paths with other content",
        "steps/core/deletion_guard.py::DeletionToken.add",
        Replace("A.encode()", "b''"),
        "tests/runs/test_deletion_guard.py::"
        "test_approval_does_not_allow_the_loss_of_the_same_paths_with_other_content",
    ),
    Mutant(
        "approval of the same deletions in another cluster",
        "steps/core/deletion_guard.py::DeletionToken.__init__",
        Replace("hashlib.sha256(...)", "hashlib.sha256()"),
        "tests/core/test_deletion_guard.py::test_token_is_stable_across_versions",
    ),
    Mutant(
        "intake limit ignored: MAX_OBJECTS",
        "steps/core/intake_limits.py::Intake.add",
        never("0 < A < B"),
        "tests/runs/test_intake_limits.py::test_listing_stops_when_it_exceeds_max_objects",
    ),
    Mutant(
        "intake limit off by one: MAX_OBJECTS",
        "steps/core/intake_limits.py::Intake.add",
        Replace("0 < A < B", "0 < A < B - 1"),
        "tests/core/test_intake_limits.py::test_intake_stops_at_the_first_object_over_the_limit",
    ),
    Mutant(
        "intake limit ignored: MAX_NEW_BYTES before the first fetch",
        "steps/planning/manifest.py::Manifest._check_new_bytes",
        never("A > limit"),
        "tests/runs/test_intake_limits.py::test_cluster_over_its_own_limits_is_neither_fetched_nor_kept_on_the_volume",
    ),
    Mutant(
        "intake limit ignored: MAX_NEW_BYTES of objects that grow",
        "steps/planning/manifest.py::Manifest._fetched",
        never("0 < limit < ..."),
        "tests/runs/test_intake_limits.py::test_objects_count_with_their_fetched_size",
    ),
    Mutant(
        "intake limit ignored: MAX_RUN_OBJECTS",
        "steps/core/intake_limits.py::over_run_limits",
        never("0 < A.max_run_objects < B"),
        "tests/runs/test_intake_limits.py::test_cluster_over_a_limit_is_skipped_until_the_limit_is_raised",
    ),
    Mutant(
        "intake limit ignored: MAX_RUN_NEW_BYTES",
        "steps/core/intake_limits.py::over_run_limits",
        never("0 < A.max_run_new_bytes < B"),
        "tests/runs/test_intake_limits.py::test_run_limit_has_the_same_result_in_any_order_of_shards",
    ),
    Mutant(
        "intake limit ignored: MAX_CLUSTERS",
        "steps/discover.py::_new_clusters",
        always("A <= limit"),
        "tests/runs/test_intake_limits.py::test_new_clusters_over_max_clusters_are_skipped_and_known_ones_continue",
    ),
    Mutant(
        "intake limit ignored: keys that are file and directory",
        "steps/core/changes.py::add_conflict",
        never("... > MOST_CONFLICTS"),
        "tests/runs/test_intake_limits.py::test_cluster_with_too_many_keys_that_are_file_and_directory_is_skipped",
    ),
    Mutant(
        "intake limit applied in alphabetical order",
        "steps/core/intake_limits.py::over_run_limits",
        Replace("(A[1].size, A[0])", "A[0]"),
        "tests/core/test_intake_limits.py::test_over_run_limits_skips_the_largest_growth_and_not_small_clusters",
    ),
    Mutant(
        "cluster over its limits published after a replan",
        "steps/publishing/replan.py::settled_clusters",
        Without("Status.OVER_LIMIT"),
        "tests/runs/test_intake_limits.py::test_cluster_skipped_by_detect_stays_skipped_when_the_branch_has_moved",
    ),
    # -- planning --
    Mutant(
        "filtered-out files deleted",
        "steps/core/changes.py::is_missing",
        Without("selects(...)"),
        "tests/runs/test_deletion_guard.py::test_excluded_files_are_neither_written_nor_deleted",
    ),
    Mutant(
        "quarantined files deleted",
        "steps/core/changes.py::is_missing",
        Replace("A is not None and B is None and selects(...)", "A is not None and selects(A)"),
        "tests/runs/test_deletion_guard.py::test_quarantined_key_keeps_its_file_in_git",
    ),
    Mutant(
        "mode ignored: when planning",
        "steps/core/changes.py::plan_changes",
        Replace("(A.mode, B) != (GitMode.FILE, C)", "B != C"),
        "tests/core/test_changes.py::test_plan_modifies_a_file_with_another_mode_and_the_same_id",
    ),
    Mutant(
        "mode ignored: when reading the baseline from Git",
        "steps/planning/baselines.py::_known",
        Replace("(A.mode, B) == (GitMode.FILE, C)", "B == C"),
        "tests/test_run.py::test_edits_by_others_below_a_cluster_are_reverted",
    ),
    Mutant(
        "missing manifest treated as an empty one",
        "steps/planning/planner.py::Planner._read",
        Replace("return self._recorded_failure(...)", _EMPTY_MANIFEST),
        "tests/planning/test_planner.py::test_missing_manifest_fails_its_cluster_and_deletes_nothing",
    ),
    Mutant(
        "empty manifest accepted",
        "steps/planning/planner.py::Planner._read",
        Replace("return _unexplained(...)", _EMPTY_MANIFEST),
        "tests/planning/test_planner.py::test_damaged_manifest_fails_its_cluster[empty]",
    ),
    Mutant(
        "manifest of another run accepted",
        "steps/planning/planner.py::Planner._read",
        Replace("(A.run_id, B) != (C, D)", "B != D"),
        "tests/planning/test_planner.py::test_manifest_of_another_run_fails_its_cluster",
    ),
    Mutant(
        "manifest of another cluster accepted",
        "steps/planning/planner.py::Planner._read",
        Replace("(B, A.cluster) != (C, D)", "B != C"),
        "tests/planning/test_planner.py::test_manifest_of_another_cluster_fails_its_cluster",
    ),
    Mutant(
        "old manifests used by a run that starts again",
        "steps/discover.py::discover",
        Delete("remove(...)"),
        "tests/test_publish.py::test_reused_run_id_starts_from_the_current_bucket",
    ),
    Mutant(
        "CRC not checked",
        "steps/workdir/rowfile.py::RowFile.__init__",
        never("... != A.crc32"),
        "tests/workdir/test_rowfile.py::test_every_flipped_bit_is_detected",
    ),
    Mutant(
        "order of the rows not checked",
        "steps/core/sorted_join.py::ascending",
        never("A.path <= last"),
        "tests/core/test_sorted_join.py::test_outer_join_rejects_a_stream_that_does_not_ascend_strictly",
    ),
    # -- caches --
    Mutant(
        "stale cache trusted: the tree in Git is not compared",
        "steps/workdir/cache.py::Caches.makes",
        Without("A.tree == tree"),
        "tests/workdir/test_cache.py::test_push_by_others_between_two_runs_is_noticed",
    ),
    Mutant(
        "stale cache trusted: the id of its tree is copied, not computed",
        "steps/workdir/cache.py::Caches.update",
        Replace("str(tree_id)", "baseline.header(BaselineHeader).tree"),
        "tests/workdir/test_cache.py::test_cache_has_the_id_of_the_tree_in_git",
    ),
    Mutant(
        "stale cache trusted: the blob in Git is not compared",
        "steps/planning/baselines.py::_known",
        Without("(A.mode, B) == (GitMode.FILE, C)"),
        "tests/workdir/test_cache.py::test_push_by_others_between_two_runs_is_noticed",
    ),
    Mutant(
        "stale cache trusted: the ETag alone",
        "steps/workdir/rowfile.py::is_same_object",
        Replace("A == b'\\t' + B", "A.split(b'\\t')[2:] == B.split(b'\\t')[1:]"),
        "tests/workdir/test_cache.py::test_same_etag_with_another_size_is_fetched",
    ),
    Mutant(
        "stale cache trusted: the size alone",
        "steps/workdir/rowfile.py::is_same_object",
        Replace("A == b'\\t' + B", "A.split(b'\\t')[1::2] == B.split(b'\\t')[::2]"),
        "tests/publishing/test_commit.py::test_commit_message_lists_clusters_and_changes",
    ),
    Mutant(
        "stale cache trusted: without ETags",
        "steps/workdir/rowfile.py::is_same_object",
        Without("b'\\t\\t' not in A"),
        "tests/runs/test_failures.py::test_objects_without_listed_etags_are_downloaded[False]",
    ),
    Mutant(
        "stale cache trusted: of another cluster",
        "steps/workdir/cache.py::Caches._read",
        Replace("(A, B.cluster, C) != (D, E, F)", "(A, C) != (D, F)"),
        "tests/workdir/test_cache.py::test_cache_of_another_cluster_is_not_used",
    ),
    Mutant(
        "stale cache trusted: of another identity",
        "steps/workdir/cache.py::Caches._read",
        Replace("(A, B.cluster, C) != (D, E, F)", "(B.cluster, C) != (E, F)"),
        "tests/workdir/test_cache.py::test_cache_of_another_bucket_is_not_used",
    ),
    Mutant(
        "stale cache trusted: of other rules",
        "steps/workdir/cache.py::Caches._read",
        Replace("(A, B.cluster, C) != (D, E, F)", "(A, B.cluster) != (D, E)"),
        "tests/runs/test_volatile_fields.py::test_other_rules_ignore_the_cache",
    ),
    Mutant(
        "omitted objects count as kept files",
        "steps/core/changes.py::fate",
        Replace("listed.omitted", "False"),
        "tests/runs/test_volatile_fields.py::test_change_of_the_policy_rewrites_the_files_in_one_commit",
    ),
    Mutant(
        "stale cache trusted: the tip of another identity",
        "steps/workdir/cache.py::Caches.trees",
        Replace("A != TipHeader(identity=B, commit=C)", "A.commit != C"),
        "tests/workdir/test_cache.py::test_cache_of_another_git_path_is_not_used",
    ),
    Mutant(
        "full mode trusts caches: of what Git has",
        "steps/planning/baselines.py::_Writer._uses_caches",
        Replace("return ...", "return True"),
        "tests/workdir/test_cache.py::test_full_run_uses_no_cache",
    ),
    Mutant(
        "full mode trusts caches: of what is unchanged",
        "steps/planning/manifest.py::Manifest._decisions",
        Without("incremental"),
        "tests/test_run.py::test_full_mode_fetches_everything_and_finds_a_change_that_a_wrong_cache_hides",
    ),
    Mutant(
        "stale cache trusted: again, after it was found wrong",
        "steps/publishing/commit.py::commit",
        Delete("A.remove_caches()"),
        "tests/workdir/test_cache.py::test_wrong_cache_is_not_used_again_after_it_was_found",
    ),
    Mutant(
        "vanished namespace not refused",
        "steps/planning/planner.py::Planner._decide",
        never("A is NamespaceVanished.REFUSE"),
        "tests/runs/test_deletion_guard.py::test_namespace_vanished_setting_reports_refuses_or_keeps_the_files",
    ),
    Mutant(
        "a wait for DELETE_GRACE survives a return of the file",
        "steps/workdir/pending.py::PendingDeletions._merged",
        Replace("not A.has_path(B)", "True"),
        "tests/runs/test_delete_grace.py::test_file_that_comes_back_waits_again",
    ),
    Mutant(
        "a wait for DELETE_GRACE without its state",
        "steps/workdir/pending.py::PendingDeletions._rows",
        Replace("B if A and C else ()", "B"),
        "tests/runs/test_delete_grace.py::test_wait_starts_again_after_a_run_without_a_record",
    ),
    Mutant(
        "newest object of the future counts as fresh",
        "steps/core/source_age.py::staleness",
        never("is_ahead(A, B)"),
        "tests/core/test_source_age.py::test_first_matching_glob_decides",
    ),
    # -- the branch guard --
    Mutant(
        "another history is continued without an approval",
        "steps/planning/branch_check.py::_newest_tip",
        always("A.contains(B)"),
        "tests/planning/test_branch_check.py::"
        "test_run_refuses_a_branch_without_the_last_pushed_commit_until_it_is_approved",
    ),
    Mutant(
        "one approval of a lost branch approves every later loss",
        "steps/core/branch_guard.py::new_branch_token",
        Without("commit"),
        "tests/planning/test_branch_check.py::test_approval_of_one_lost_commit_approves_no_other_one",
    ),
    # -- writing Git --
    Mutant(
        "force push",
        "steps/clients/git/repository.py::Repository.push",
        Replace("f\"--force-with-lease={A}:{B or ''}\"", "'--force'"),
        "tests/publishing/test_push.py::test_push_never_overwrites_a_branch_that_moves_during_it[GET]",
    ),
    Mutant(
        "lease dropped",
        "steps/clients/git/repository.py::Repository.push",
        Replace("f\"--force-with-lease={A}:{B or ''}\"", "'--quiet'"),
        "tests/publishing/test_push.py::test_push_does_not_restore_a_branch_renamed_during_it",
    ),
    Mutant(
        "result of a push trusted: success",
        "steps/publishing/push.py::push",
        Replace("tip = A.remote_tip()", "tip = oid if 'success' in problem.error else A.remote_tip()"),
        "tests/publishing/test_push.py::test_push_fails_if_the_server_reports_success_and_drops_the_ref",
    ),
    Mutant(
        "result of a push trusted: failure",
        "steps/publishing/push.py::_attempt",
        Replace("return problem", "raise problem"),
        "tests/publishing/test_push.py::test_push_reported_as_failed_succeeds_if_the_remote_has_the_commit",
    ),
    Mutant(
        "changes not planned again on a moved branch",
        "steps/publish.py::_publish_to_branch",
        Without("A == run.base"),
        "tests/publishing/test_replan.py::test_replan_builds_on_commits_outside_git_path",
    ),
    Mutant(
        "run's own commit not recognised",
        "steps/publish.py::_publish_to_branch",
        Replace("made_by(...)", "[]"),
        "tests/test_publish.py::test_repeated_publish_reports_the_same_commit",
    ),
    Mutant(
        "superseding off: by runs that have committed",
        "steps/publish.py::_publish_to_branch",
        Replace("published_by(A)", "set()"),
        "tests/publishing/test_replan.py::test_old_run_is_superseded_by_a_newer_commit",
    ),
    Mutant(
        "commits older than the run count as published since, on a branch that was set back",
        "steps/clients/git/repository.py::Repository.history_without",
        Replace("self._revisions(A, B)", "self._revisions(A)"),
        "tests/publishing/test_replan.py::test_replan_builds_on_a_branch_reset_during_the_run",
    ),
    Mutant(
        "history without the run's base treated as older",
        "steps/publishing/replan.py::history_since_base",
        Replace("raise TryAgain(...)", "return []"),
        "tests/publishing/test_replan.py::test_replan_fails_as_transient_on_a_replica_without_the_base",
    ),
    Mutant(
        "run's own commit not recognised beside an unknown base",
        "steps/publishing/replan.py::history_since_base",
        Without("made_by(...)"),
        "tests/publishing/test_replan.py::test_repeated_publish_finds_its_commit_on_a_server_without_the_base",
    ),
    Mutant(
        "any failure to read the run's base treated as its absence",
        "steps/clients/git/repository.py::Repository.fetch_commit",
        always("_NO_SUCH_COMMIT.search(...)"),
        "tests/publishing/test_replan.py::test_replan_reports_why_the_base_cannot_be_fetched",
    ),
    Mutant(
        "any text accepted as the run's base",
        "steps/contracts.py::Run",
        Replace("Field(pattern='^[0-9a-f]{40}$', description=A)", "Field(description=A)"),
        "tests/publishing/test_replan.py::test_forged_base_is_not_used_as_an_option_of_git",
    ),
    Mutant(
        "one cluster takes every download thread",
        "steps/runtime/fair_pool.py::FairPool._next_share",
        Replace("self._users - busy", "0"),
        "tests/test_download.py::test_run_publishes_the_clusters_that_are_complete_at_the_timeout",
    ),
    Mutant(
        "files of the last run that cannot be removed are ignored",
        "steps/planning/manifest.py::Manifest._decisions",
        Delete("self.deadline.result(self.directory)"),
        "tests/runs/test_failures.py::test_download_reports_files_of_the_last_run_that_it_cannot_remove",
    ),
    Mutant(
        "an object is requested twice instead of three times",
        "steps/runtime/retry.py",
        Replace("REQUESTS = ...", "REQUESTS = RetryPolicy(attempts=2, first_pause=0.2)"),
        "tests/runs/test_failures.py::test_download_requests_an_object_four_times_before_its_cluster_fails",
    ),
    Mutant(
        "branch absent after one empty answer",
        "steps/clients/git/repository.py::Repository.remote_tip",
        Replace("A._listed() or A._listed(is_proof=True)", "A._listed()"),
        "tests/planning/test_baselines.py::test_branch_counts_as_absent_only_after_two_empty_answers",
    ),
    Mutant(
        "superseding off: by runs that had nothing to commit",
        "steps/publishing/replan.py::clusters_with_newer_listing",
        Replace("return newer", "return set()"),
        "tests/publishing/test_replan.py::test_old_run_is_superseded_by_a_newer_run_without_changes",
    ),
    Mutant(
        "deletions after modifications",
        "steps/publishing/commit.py::_commands",
        Swap("fast_import.delete(...)", "fast_import.write_blob(...)"),
        "tests/runs/test_deletion_guard.py::test_a_file_becomes_a_directory_and_back",
    ),
    Mutant(
        "proof of the commit skipped",
        "steps/publishing/commit.py::_first_difference",
        never("not is_made(...)"),
        "tests/publishing/test_commit.py::test_commit_refuses_bytes_that_changed_on_the_volume",
    ),
    Mutant(
        "file in Git replaced by a cluster of that name",
        "steps/download.py::_Shard._check_blocked",
        never("... in A.clusters_blocked_by_file"),
        "tests/runs/test_deletion_guard.py::test_cluster_whose_directory_is_a_file_in_git_fails_alone",
    ),
    Mutant(
        "file in Git replaced by the directory GIT_PATH",
        "steps/clients/git/trees.py::Trees.directory",
        Replace("raise NotADirectoryError", "return EMPTY_TREE"),
        "tests/runs/test_deletion_guard.py::test_git_path_that_is_a_file_in_git_exits_40",
    ),
    Mutant(
        "push retried after a hook refused it",
        "steps/publishing/push.py::push",
        never("A.transient"),
        "tests/publishing/test_push.py::test_push_rejected_by_a_hook_is_not_retried",
    ),
    Mutant(
        "a web page taken for an empty repository",
        "steps/clients/git/repository.py::Repository._listed",
        never("not A.packets"),
        "tests/clients/git/test_remote.py::test_page_in_place_of_the_refs_is_not_an_empty_repository[empty]",
    ),
    Mutant(
        "everything is downloaded for a host that accepts no push",
        "steps/planning/baselines.py::_Writer.of_branch",
        Delete("A.prove_push()"),
        "tests/clients/git/test_remote.py::"
        "test_first_run_proves_before_the_download_that_pushes_are_accepted",
    ),
    Mutant(
        "a refusal of the host over SSH is retried",
        "steps/clients/git/output.py::Output.is_ended_by_host",
        Without("over_ssh"),
        "tests/clients/git/test_host_answers.py::"
        "test_host_that_ends_the_ssh_session_with_words_refuses_unless_they_are_passing[gitlab-read-only-key]",
    ),
    Mutant(
        "branch found by the end of its name",
        "steps/clients/git/repository.py::Repository._listed",
        Replace("tips.get(A)", "next((oid for ref, oid in tips.items() if ref.endswith(A)), None)"),
        "tests/clients/git/test_repository.py::test_remote_tip_ignores_branches_whose_names_end_alike",
    ),
    Mutant(
        "objects of a retried download published without a decision",
        "steps/publishing/replan.py::settled_clusters",
        Without("Status.FAILED"),
        "tests/workflows/test_pipeline.py::test_publish_ignores_objects_that_a_retried_download_brought_after_detect",
    ),
    Mutant(
        "edit overwritten without a warning",
        "steps/publish.py::_publish_to_branch",
        Delete("log_conflicts(...)"),
        "tests/planning/test_conflicts.py::test_edit_by_others_during_a_run_is_reverted_and_logged_as_a_conflict",
    ),
    # -- changes that the Git host refuses --
    Mutant(
        "change counts as refused without a push of it alone",
        "steps/core/refusal_search.py::Search.refuse",
        Replace("len(part) == 1", "len(part) <= 2"),
        "tests/core/test_refusal_search.py::test_search_reports_only_changes_that_were_refused_alone",
    ),
    Mutant(
        "search goes on although the host refuses everything",
        "steps/core/refusal_search.py::Search.is_about_the_branch",
        Replace("return ...", "return False"),
        "tests/publishing/test_parts.py::test_refused_author_ends_the_search_after_three_pushes",
    ),
    Mutant(
        "search without a limit on its pushes",
        "steps/core/refusal_search.py::Search.next_part",
        Without("A >= SEARCH_PUSHES"),
        "tests/core/test_refusal_search.py::test_search_of_many_refused_changes_ends_with_most_of_the_rest_published",
    ),
    Mutant(
        "refused changes not remembered",
        "steps/publishing/refusals.py::Remembered.split_off",
        always("not self._known"),
        "tests/publishing/test_refusals.py::test_next_run_skips_refused_objects_and_reports_them",
    ),
    Mutant(
        "refused changes remembered in full mode",
        "steps/publishing/refusals.py::Remembered.split_off",
        Without("A is Mode.FULL"),
        "tests/publishing/test_refusals.py::test_full_mode_tries_refused_objects_again",
    ),
    Mutant(
        "cache claims that Git has refused objects",
        "steps/publish.py::_update_caches",
        Value("without", "()"),
        "tests/publishing/test_refusals.py::test_refused_object_is_not_a_conflict_after_a_commit_of_another_user",
    ),
    Mutant(
        "commits trusted to be the run's own because they name it",
        "steps/publishing/earlier.py::_fates",
        never("row is None"),
        "tests/publishing/test_earlier.py::test_publish_ignores_forged_commits_that_name_its_run",
    ),
    Mutant(
        "write in the place of a deletion pushed before it",
        "steps/publishing/parts.py::PartialPush.publish",
        Replace("later = ...", "later = Part()"),
        "tests/publishing/test_parts.py::test_file_in_a_directory_waits_for_the_deletion_of_the_file_in_its_place",
    ),
    # -- secrets and foreign content --
    Mutant(
        "credential helper answers for any host",
        "steps/clients/git/config.py::Credentials._token",
        Text(r"^\[credential ", "[credential]\n# "),
        "tests/runs/test_secrets.py::test_git_gets_the_token_only_for_the_configured_host",
    ),
    Mutant(
        "redirect followed",
        "steps/clients/http.py::_send",
        Value("redirect", "True"),
        "tests/runs/test_secrets.py::test_webhook_and_pushgateway_redirects_are_not_followed",
    ),
    Mutant(
        "redirect followed to plain HTTP",
        "steps/clients/git/config.py::environment",
        Replace("':http' if ... else ''", "':http'"),
        "tests/runs/test_secrets.py::test_git_redirect_does_not_forward_the_token",
    ),
    Mutant(
        "any certificate trusted: the bucket's",
        "steps/clients/s3/transport.py::_open_pool",
        Value("cert_reqs", "'CERT_NONE'"),
        "tests/clients/s3/test_transport.py::test_bucket_over_https_requires_the_private_ca",
    ),
    Mutant(
        "any certificate trusted: the webhook's",
        "steps/clients/http.py::_send",
        Value("cert_reqs", "'CERT_NONE'"),
        "tests/reporting/test_webhook.py::test_webhook_over_https_with_a_private_ca",
    ),
    Mutant(
        "any certificate trusted: the Git server's",
        "steps/clients/git/config.py::repository_config",
        Text(r"\tlowSpeedLimit = 1\n", "\tlowSpeedLimit = 1\n\tsslVerify = false\n"),
        "tests/clients/git/test_config.py::test_untrusted_certificate_is_a_configuration_error",
    ),
    Mutant(
        "any SSH host key trusted",
        "steps/clients/git/config.py::_ssh_command",
        Value("StrictHostKeyChecking", "'no'"),
        "tests/clients/git/test_config.py::test_ssh_refuses_an_unknown_host_key",
    ),
    Mutant(
        "secret not redacted",
        "steps/runtime/redaction.py::_redacted",
        Replace("if isinstance(A, str): ...", "if isinstance(A, str): return A"),
        "tests/runtime/test_redaction.py::test_redaction_masks_every_field_and_spelling",
    ),
    Mutant(
        "secret not redacted in base64",
        "steps/runtime/redaction.py::_any_of",
        Replace("[*A, *B]", "A"),
        "tests/runs/test_secrets.py::test_fault_shows_no_secret[S3 answers 403]",
    ),
    Mutant(
        "secret not redacted in documents",
        "steps/reporting/outcome.py::failed_result",
        Replace("redacted(A)", "A"),
        "tests/reporting/test_outcome.py::test_failed_result_contains_no_secret",
    ),
    Mutant(
        "core dumps of children not disabled",
        "steps/runtime/hardening.py::harden",
        Delete("resource.setrlimit(...)"),
        "tests/runtime/test_hardening.py::test_children_of_a_hardened_process_dump_no_core[True]",
    ),
    Mutant(
        "memory readable for the same user",
        "steps/runtime/hardening.py::harden",
        Delete("ctypes.CDLL(None).prctl(...)"),
        "tests/runtime/test_hardening.py::test_other_processes_of_the_user_cannot_read_a_hardened_process[environ-True]",
    ),
    Mutant(
        "files readable for other users",
        "steps/runtime/hardening.py",
        Replace("_PRIVATE = ...", "_PRIVATE = 0o022"),
        "tests/runtime/test_hardening.py::test_run_creates_files_that_only_owner_and_intended_group_can_read[0755]",
    ),
    Mutant(
        "hooks not disabled",
        "steps/clients/git/config.py::repository_config",
        Text(r"\thooksPath = /dev/null\n", ""),
        "tests/clients/git/test_repository.py::test_repository_runs_no_hook_planted_during_the_run",
    ),
    Mutant(
        "symlink followed on the volume",
        "steps/workdir/files.py::ObjectDirectory._make",
        Without("os.path.islink(A)"),
        "tests/workdir/test_files.py::test_object_directory_replaces_links",
    ),
    Mutant(
        "foreign clone replaced",
        "steps/clients/git/repository.py::Repository._check_ownership",
        never("foreign"),
        "tests/clients/git/test_repository.py::test_repository_refuses_to_replace_a_foreign_clone_or_gitconfig",
    ),
    # -- state and exit codes --
    Mutant(
        "run counted twice after a repeated report",
        "steps/core/counters.py::Counters.with_run",
        never("run_id in self.counted_runs"),
        "tests/reporting/test_metrics.py::test_repeated_report_counts_nothing_twice",
    ),
    Mutant(
        "last success moved by a filtered run",
        "steps/reporting/state.py::_last_success",
        Without("A.filtered_by_options"),
        "tests/runs/test_deletion_guard.py::test_excluded_files_are_neither_written_nor_deleted",
    ),
    Mutant(
        "last success moved by a run with a failed cluster",
        "steps/reporting/state.py::_last_success",
        Replace("A.exit_code != Exit.OK", "A.exit_code not in {Exit.OK, Exit.PARTIAL}"),
        "tests/runs/test_failures.py::test_failing_cluster_keeps_its_files_and_does_not_stop_the_others"
        "[the prefix is forbidden]",
    ),
    Mutant(
        "last success moved back by a run that is reported late",
        "steps/reporting/state.py::_last_success",
        never("A.at >= B.finished_at"),
        "tests/test_cli.py::test_report_of_an_old_run_keeps_the_newer_state",
    ),
    Mutant(
        "instants ahead of now believed",
        "steps/core/clock.py::is_ahead",
        Replace("at > now + TOLERANCE", "False"),
        "tests/runs/test_clocks.py::test_success_replaces_a_success_that_is_ahead_of_now",
    ),
    Mutant(
        "stale backups called healthy",
        "steps/reporting/health.py::health",
        never("now > A"),
        "tests/test_cli.py::test_health_depends_on_the_age_of_the_last_success",
    ),
    Mutant(
        "damaged state treated as an empty one",
        "steps/workdir/state_file.py::read_state",
        Replace(
            "(FileNotFoundError, IsADirectoryError)", "(FileNotFoundError, IsADirectoryError, Exception)"
        ),
        "tests/test_cli.py::test_run_rejects_and_keeps_a_damaged_state",
    ),
    Mutant(
        "wrong precedence of exit codes",
        "steps/core/exit_codes.py",
        Swap("Exit.CONFIGURATION", "Exit.TRANSIENT"),
        "tests/core/test_exit_codes.py::test_most_severe_exit_code_does_not_depend_on_the_order",
    ),
    Mutant(
        "failed cluster hidden by those that succeeded",
        "steps/reporting/result.py::exit_codes",
        Delete("if failed: ..."),
        "tests/runs/test_failures.py::test_failing_cluster_keeps_its_files_and_does_not_stop_the_others"
        "[the prefix is forbidden]",
    ),
    Mutant(
        "refusal hidden",
        "steps/reporting/result.py::exit_codes",
        Delete("A.add(Exit.REFUSED)"),
        "tests/runs/test_deletion_guard.py::test_mass_deletion_is_refused_and_other_changes_are_committed",
    ),
    Mutant(
        "step accepts the run of another configuration",
        "steps/commands.py::_require_same",
        never("here != found"),
        "tests/test_cli.py::test_step_rejects_the_run_of_another_configuration",
    ),
    Mutant(
        "dry run writes",
        "steps/publish.py::publish",
        Without("A.dry_run"),
        "tests/runs/test_deletion_guard.py::test_dry_run_prints_the_plan_and_changes_nothing",
    ),
    Mutant(
        "dry run recorded in the state",
        "steps/report.py::report",
        never("A.dry_run"),
        "tests/runs/test_deletion_guard.py::test_dry_run_prints_the_plan_and_changes_nothing",
    ),
    Mutant(
        "SIGTERM caught by except Exception",
        "steps/errors.py::Terminated",
        Replace("BaseException", "Exception"),
        "tests/test_cli.py::test_stopped_run_logs_the_signal_and_exits_143",
    ),
    Mutant(
        "file visible before it is complete",
        "steps/workdir/files.py::atomic_file",
        Swap("yield A", "os.replace(...)"),
        "tests/workdir/test_files.py::test_atomic_file_appears_when_it_is_complete",
    ),
    Mutant(
        "two runs at a time on one volume",
        "steps/workdir/volume.py::Volume.locked",
        Delete("fcntl.flock(...)"),
        "tests/workdir/test_volume.py::test_lock_names_its_holder_to_a_second_run",
    ),
    Mutant(
        "an object that moves to another file counts as deleted and new",
        "steps/kubernetes/changes.py::compare",
        Replace("one.path if not one.facts.identity.kind else ''", "one.path"),
        "tests/kubernetes/test_summarize.py::test_object_that_moves_to_another_file_does_not_change",
    ),
    Mutant(
        "items of a List without a kind are not objects of its kind",
        "steps/kubernetes/objects.py::objects_in",
        Replace("one.identity.kind.removesuffix('List')", "''"),
        "tests/kubernetes/test_objects.py::test_items_without_a_kind_get_it_from_their_list",
    ),
    Mutant(
        "the second of two equal keys hides the first",
        "steps/kubernetes/objects.py::Reader._scalar",
        Replace("key in current.value", "False"),
        "tests/kubernetes/test_summarize.py::test_unreadable_file_is_named_with_its_reason",
    ),
    Mutant(
        "cut text is not proven by parsing it",
        "steps/kubernetes/rewrite.py::rewrite",
        Replace("_is_same(A, B)", "True"),
        "tests/kubernetes/test_rewrite.py::test_content_that_cannot_be_cut_with_proof_is_kept_exactly",
    ),
    Mutant(
        "a cut takes the next field with it",
        "steps/kubernetes/rewrite.py::_removal",
        Replace("entries[after - 1].end", "entries[min(after, len(entries) - 1)].end"),
        "tests/kubernetes/test_rewrite.py::test_fields_are_cut",
    ),
    Mutant(
        "fast path does not see a duplicate key",
        "steps/kubernetes/layout.py::_Lines._add_key",
        Replace("key in top.keys", "False"),
        "tests/kubernetes/test_layout.py::test_other_layouts_are_declined",
    ),
    Mutant(
        "objects in a List keep their volatile fields",
        "steps/kubernetes/objects.py::is_list",
        Replace("one.identity.kind.endswith('List')", "False"),
        "tests/kubernetes/test_rewrite.py::test_items_of_lists_and_the_list_itself_lose_their_volatile_fields",
    ),
    Mutant(
        "a file that may contain a Secret stays in Git although it cannot be read",
        "steps/core/changes.py::ManifestRow.omitted",
        Without("Reason.SECRET_UNREADABLE"),
        "tests/core/test_changes.py::test_guard_counts_only_omitted_files_that_no_change_of_the_policy_removes",
    ),
    Mutant(
        "a cache of another SECRETS policy is used",
        "steps/kubernetes/policy.py::Policy.digest",
        Replace("[_VERSION, self.volatile_fields, self.rules, secrets]", "[_VERSION, self.rules]"),
        "tests/runtime/settings/test_content.py::test_digest_depends_on_everything_that_decides_about_the_content",
    ),
    Mutant(
        "a file that cannot be read for certain keeps its Secret",
        "steps/kubernetes/secrets.py::SecretsPolicy.treated",
        Replace("result.reason or search.doubt", "search.doubt"),
        "tests/kubernetes/test_secrets.py::test_no_value_of_any_shape_remains",
    ),
    Mutant(
        "Secrets in the items of a List are missed",
        "steps/kubernetes/secrets.py::_Search._within",
        Replace("self._is_secret(value, kind, is_object=is_object)", "False"),
        "tests/kubernetes/test_secrets.py::test_no_value_of_any_shape_remains",
    ),
    Mutant(
        "comments beside a Secret stay",
        "steps/kubernetes/secrets.py::SecretsPolicy.treated",
        Replace("search.without_other_copies(result.content)", "result.content"),
        "tests/kubernetes/test_secrets.py::test_no_value_of_any_shape_remains",
    ),
    Mutant(
        "changed labels of roles hide a real grant",
        "steps/kubernetes/summarize.py::_Summary._add_object",
        Replace("change.level == Level.METADATA", "False"),
        "tests/kubernetes/test_summarize.py::test_real_grant_is_not_hidden_by_changes_of_metadata_and_secrets",
    ),
    Mutant(
        "changed values of Secrets are not named",
        "steps/kubernetes/changes.py::secret_keys",
        Replace("old[key] != new[key]", "False"),
        "tests/kubernetes/test_summarize.py::test_secret_shows_the_names_of_its_changed_values_only",
    ),
    Mutant(
        "inspect never fails a CI job",
        "steps/history/inspect.py::exit_code",
        Replace("any(failures(summary, fail_on))", "False"),
        "tests/history/test_inspect.py::test_inspect_exits_1_if_a_given_kind_of_change_is_found",
    ),
    Mutant(
        "inspection ignores its limit of bytes",
        "steps/publishing/inspection.py::_affordable",
        Replace("total + sum(new.values()) <= budget.total_bytes", "True"),
        "tests/publishing/test_inspection.py::test_inspection_stops_at_each_limit",
    ),
)
