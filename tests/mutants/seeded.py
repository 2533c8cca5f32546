"""Bugs to seed into steps/, one at a time, and for each the test that has to catch it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One bug: `old` stands in `file` once, and becomes `new`. `test` is a pytest node id."""

    name: str
    file: str
    old: str
    new: str
    test: str

    def mutated(self, root: Path) -> str:
        """The text of the file below `root` with the bug in it; ValueError where it does not fit."""
        text = (root / self.file).read_text()
        if text.count(self.old) != 1 or self.old == self.new:
            raise ValueError(f"{self.name}: in {self.file} it fits in {text.count(self.old)} places")
        return text.replace(self.old, self.new)


# What a cluster without objects would leave, where in truth nobody knows what it has.
_TAKEN_FOR_EMPTY = """\
            from steps.rowfile import write_rows

            header = ManifestHeader(run_id=self._run.run_id, cluster=name, listed_at=self._run.started_at)
            figures = dict.fromkeys(ManifestFooter.model_fields, 0)
            figures |= {"quarantined": {}, "quarantined_sample": (), "newest_object_at": None}
            write_rows(self._files.manifest(name), header, (), lambda: ManifestFooter(**figures))
            return None
"""

_STORE = "steps/clients/s3/store.py"
_DOWNLOAD = "steps/download.py"
_CHANGES = "steps/core/changes.py"
_GUARDS = "steps/core/deletion_guard.py"
_KEYS = "steps/core/keys.py"
_FLOOD = "steps/core/intake_limits.py"
_CACHES = "steps/workdir/cache.py"
_BASELINES = "steps/planning/baselines.py"
_PLANNING = "steps/planning/planner.py"
_COMMITTING = "steps/publishing/commit.py"
_PUBLISH = "steps/publish.py"
_GIT = "steps/clients/git/repository.py"
_ACCESS = "steps/clients/git/config.py"
_REPORT = "steps/report.py"

MUTANTS = (
    # -- reading the bucket -----------------------------------------------------------------------
    Mutant(
        "412 means deleted",
        _STORE,
        "except PreconditionError:\n            raise _Changed from None",
        "except PreconditionError:\n            raise Gone from None",
        "tests/runs/test_failures.py::test_an_object_that_changes_between_list_and_get_is_fetched_as_it_is_now",
    ),
    Mutant(
        "404 believed without a second question",
        _STORE,
        "self._stat(listed.key)  # raises Gone where minio agrees",
        "raise Gone from None",
        "tests/runs/test_failures.py::test_a_404_that_the_store_does_not_stand_by_is_no_deletion",
    ),
    Mutant(
        "no MD5 check",
        _STORE,
        "if first.md5 == listed.etag or not _MD5.fullmatch(listed.etag):",
        "if True:",
        "tests/runs/test_failures.py::test_what_passes_is_tried_again[a flipped bit]",
    ),
    Mutant(
        "damaged bytes taken for those of a store without MD5s",
        _STORE,
        "if self._get(listed, target).oid != first.oid:",
        "if False:",
        "tests/runs/test_failures.py::test_what_passes_is_tried_again[a flipped bit]",
    ),
    Mutant(
        "no length check",
        _STORE,
        "if size != listed.size:",
        "if False:",
        "tests/runs/test_failures.py::test_fewer_bytes_than_were_listed_are_asked_for_again",
    ),
    Mutant(
        "more bytes than were listed are written",
        _STORE,
        "if size + len(chunk) > listed.size:",
        "if False:",
        "tests/runs/test_failures.py::test_more_bytes_than_were_listed_are_not_written",
    ),
    Mutant(
        "MAX_OBJECT_BYTES forgotten where an object has changed since it was listed",
        _STORE,
        "if current.size > max_bytes:",
        "if False:",
        "tests/clients/s3/test_store.py::test_an_object_that_outgrew_the_limit_is_too_large",
    ),
    Mutant(
        "partial listing accepted: what follows the last key is not asked for",
        _STORE,
        'while came or (last == "" and empty_answers < 2):',
        'while last == "" and empty_answers < 2:',
        "tests/runs/test_failures.py::test_a_truncated_listing_that_denies_it_is_completed",
    ),
    Mutant(
        "partial listing accepted: the order of the keys does not matter",
        _STORE,
        "if listed.key <= last or not",
        "if not",
        "tests/runs/test_failures.py::test_what_passes_is_tried_again[keys out of order]",
    ),
    Mutant(
        "partial listing accepted: one empty answer is believed",
        _STORE,
        "empty_answers < 2",
        "empty_answers < 1",
        "tests/runs/test_failures.py::test_an_empty_listing_is_asked_for_twice",
    ),
    Mutant(
        "partial listing accepted: a page that breaks off is the last one",
        _STORE,
        "if truncated and not self.token and not any(self.entries()):",
        "if False:",
        "tests/workdir/test_cache.py::test_a_page_that_breaks_off_is_no_empty_cluster",
    ),
    Mutant(
        "keys from elsewhere accepted",
        _STORE,
        "if listed.key <= last or not listed.key.startswith(self._prefix):",
        "if listed.key <= last:",
        "tests/runs/test_failures.py::test_what_passes_is_tried_again[keys from elsewhere]",
    ),
    Mutant(
        "a server's clock believed, however wrong",
        _STORE,
        "return theirs if abs(theirs - ours) <= _MOST_SKEW else ours",
        "return theirs",
        "tests/runs/test_failures.py::test_a_clock_that_is_years_off_is_not_believed",
    ),
    Mutant(
        "deletions not asked for",
        _DOWNLOAD,
        "if job.store.exists(key):",
        "if False:",
        "tests/runs/test_failures.py::test_an_object_that_a_listing_leaves_out_is_asked_for_before_it_is_deleted",
    ),
    # -- keys -------------------------------------------------------------------------------------
    Mutant(
        ".git spelling accepted: as Windows finds it",
        _KEYS,
        'if seen == ".git" or _NTFS_SHORT_GIT.fullmatch(seen):',
        'if seen == ".git":',
        "tests/core/test_keys.py::test_what_git_refuses_is_rejected",
    ),
    Mutant(
        ".git spelling accepted: in capitals",
        _KEYS,
        '.rstrip(" .").casefold()',
        '.rstrip(" .")',
        "tests/core/test_keys.py::test_what_git_refuses_is_rejected",
    ),
    Mutant(
        ".git spelling accepted: with characters that macOS ignores",
        _KEYS,
        '_HFS_IGNORED.sub("", segment)',
        "segment",
        "tests/core/test_keys.py::test_no_character_hides_dot_git_from_the_validator_and_not_from_git",
    ),
    Mutant(
        ".gitattributes accepted",
        _KEYS,
        '".gitignore", ".gitattributes",',
        '".gitignore",',
        "tests/runs/test_deletion_guard.py::test_bad_keys_are_quarantined_and_stop_no_good_one",
    ),
    Mutant(
        "keys that lead upwards accepted",
        _KEYS,
        'if segment in {".", ".."}:',
        "if False:",
        "tests/runs/test_deletion_guard.py::test_bad_keys_are_quarantined_and_stop_no_good_one",
    ),
    Mutant(
        "path conflict ignored: in the listing",
        _DOWNLOAD,
        "conflicting = figures.conflicts and path_of(line) in figures.conflicts",
        "conflicting = False",
        "tests/runs/test_deletion_guard.py::test_of_a_key_that_is_file_and_directory_the_children_are_kept",
    ),
    Mutant(
        "path conflict ignored: with what Git must keep",
        _CHANGES,
        "if surveyed.kept or (surveyed.deletions and not delete):",
        "if False:",
        "tests/runs/test_deletion_guard.py::test_a_path_kept_by_a_refusal_wins_over_what_would_replace_it",
    ),
    # -- guards -----------------------------------------------------------------------------------
    Mutant(
        "guard off by one: the count",
        _GUARDS,
        "survey.deletions > limits.max_delete_count",
        "survey.deletions > limits.max_delete_count + 1",
        "tests/core/test_deletion_guard.py::test_both_bounds_must_be_exceeded",
    ),
    Mutant(
        "guard off by one: the percentage",
        _GUARDS,
        "percent > limits.max_delete_percent",
        "percent >= limits.max_delete_percent",
        "tests/core/test_deletion_guard.py::test_both_bounds_must_be_exceeded",
    ),
    Mutant(
        "guard: one bound is enough",
        _GUARDS,
        "> limits.max_delete_count and percent",
        "> limits.max_delete_count or percent",
        "tests/core/test_deletion_guard.py::test_both_bounds_must_be_exceeded",
    ),
    Mutant(
        "vanished cluster deleted",
        _GUARDS,
        "if limits.vanished is Vanished.REFUSE:",
        "if False:",
        "tests/runs/test_deletion_guard.py::test_a_vanished_cluster_stays_until_just_this_loss_is_allowed",
    ),
    Mutant(
        "empty bucket taken for a vanished cluster",
        _GUARDS,
        "if bucket_is_empty:",
        "if False:",
        "tests/runs/test_deletion_guard.py::test_an_empty_prefix_deletes_nothing_whatever_the_setting",
    ),
    Mutant(
        "flood taken for an empty bucket",
        _PLANNING,
        "not (left_out or elsewhere or any(",
        "not (left_out or any(",
        "tests/runs/test_intake_limits.py::test_a_bucket_that_holds_a_flood_is_not_taken_for_empty",
    ),
    Mutant(
        "what a filter leaves out taken for an empty bucket",
        _PLANNING,
        "not (left_out or elsewhere or any(",
        "not (elsewhere or any(",
        "tests/runs/test_deletion_guard.py::test_a_filtered_run_that_finds_nothing_does_not_take_the_bucket_for_empty",
    ),
    Mutant(
        "leave to delete vanished clusters is leave to delete what a filter shows",
        _GUARDS,
        "if not left_out:",
        "if True:",
        "tests/runs/test_deletion_guard.py::test_a_namespace_that_is_gone_is_a_mass_deletion_and_no_vanished_cluster",
    ),
    Mutant(
        "allowance for any set",
        _GUARDS,
        'return not {approval(cluster, token), f"{cluster}:{token}"}.isdisjoint(approvals)',
        'return any(given.startswith(approval(cluster, "")) for given in approvals)',
        "tests/runs/test_deletion_guard.py::test_an_allowance_is_for_one_set_of_deletions_and_no_other",
    ),
    Mutant(
        "allowance for another cluster's set",
        _GUARDS,
        'hashlib.sha256(cluster.encode() + b"\\0")',
        "hashlib.sha256()",
        "tests/core/test_deletion_guard.py::test_a_token_stays_what_it_was_in_the_versions_before",
    ),
    Mutant(
        "flood limit ignored: MAX_OBJECTS",
        _FLOOD,
        "if 0 < self._limit < self._entries:",
        "if False:",
        "tests/runs/test_intake_limits.py::test_a_listing_ends_where_it_is_too_much",
    ),
    Mutant(
        "flood limit off by one: MAX_OBJECTS",
        _FLOOD,
        "if 0 < self._limit < self._entries:",
        "if 0 < self._limit < self._entries - 1:",
        "tests/core/test_intake_limits.py::test_the_first_object_too_many_is_not_taken_in",
    ),
    Mutant(
        "flood limit ignored: MAX_NEW_BYTES before the first fetch",
        _DOWNLOAD,
        "if new > limit:",
        "if False:",
        "tests/runs/test_intake_limits.py::test_nothing_of_a_cluster_over_its_own_limits_is_fetched_or_left_on_the_volume",
    ),
    Mutant(
        "flood limit ignored: MAX_NEW_BYTES of objects that grow",
        _DOWNLOAD,
        "if 0 < job.run.intake_limits.max_new_bytes < figures.new_bytes:",
        "if False:",
        "tests/runs/test_intake_limits.py::test_objects_that_grow_between_list_and_get_count_as_they_come",
    ),
    Mutant(
        "flood limit ignored: MAX_RUN_OBJECTS",
        _FLOOD,
        "if 0 < limits.max_run_objects < objects + demand.objects:",
        "if False:",
        "tests/runs/test_intake_limits.py::test_a_flood_is_held_back_until_a_person_raises_the_limit",
    ),
    Mutant(
        "flood limit ignored: MAX_RUN_NEW_BYTES",
        _FLOOD,
        "elif demand.new_bytes and 0 < limits.max_run_new_bytes < new_bytes + demand.new_bytes:",
        "elif False:",
        "tests/runs/test_intake_limits.py::test_the_run_s_limit_holds_whatever_the_order_of_the_shards",
    ),
    Mutant(
        "flood limit ignored: MAX_CLUSTERS",
        "steps/discover.py",
        "if not settings.max_clusters or max(found.count, len(in_git) + len(new)) <= settings.max_clusters:",
        "if True:",
        "tests/runs/test_intake_limits.py::test_a_flood_of_new_clusters_is_held_back_and_those_that_git_holds_go_on",
    ),
    Mutant(
        "flood limit ignored: keys that are file and directory",
        _CHANGES,
        "if len(conflicts) > MOST_CONFLICTS:",
        "if False:",
        "tests/runs/test_intake_limits.py::test_too_many_keys_that_are_file_and_directory_are_a_flood",
    ),
    Mutant(
        "flood counted from the start of the alphabet",
        _FLOOD,
        "key=lambda item: (item[1].size, item[0])",
        "key=lambda item: item[0]",
        "tests/core/test_intake_limits.py::test_the_flood_is_held_back_and_not_those_whom_it_would_crowd_out",
    ),
    Mutant(
        "held back no more where the branch has moved",
        _PUBLISH,
        "left = {Status.FAILED, Status.OVER_LIMIT}",
        "left = {Status.FAILED}",
        "tests/runs/test_intake_limits.py::test_what_was_held_back_stays_so_where_the_branch_has_moved",
    ),
    # -- planning ---------------------------------------------------------------------------------
    Mutant(
        "filtered-out counted as deleted",
        _CHANGES,
        "elif held is not None and listed is None and selects(held.path):",
        "elif held is not None and listed is None:",
        "tests/runs/test_deletion_guard.py::test_what_filters_leave_out_is_neither_written_nor_deleted",
    ),
    Mutant(
        "quarantined counted as deleted",
        _CHANGES,
        "elif held is not None and listed is None and selects(held.path):",
        "elif held is not None and selects(held.path):",
        "tests/runs/test_deletion_guard.py::test_a_quarantined_keys_path_in_git_is_kept",
    ),
    Mutant(
        "mode ignored: when planning",
        _CHANGES,
        "(held.mode, held.oid) != (GitMode.FILE, listed.oid)",
        "held.oid != listed.oid",
        "tests/core/test_changes.py::test_another_mode_with_the_same_id_is_a_modification",
    ),
    Mutant(
        "mode ignored: when reading what Git holds",
        _BASELINES,
        "(held.mode, held.oid) == (GitMode.FILE, cached.oid)",
        "held.oid == cached.oid",
        "tests/test_run.py::test_other_peoples_edits_under_a_cluster_lose_to_the_bucket",
    ),
    Mutant(
        "missing manifest accepted as an empty one",
        _PLANNING,
        "            failure = self._recorded_failure(name)\n",
        _TAKEN_FOR_EMPTY,
        "tests/test_publish.py::test_a_missing_manifest_is_a_failed_cluster_and_never_an_empty_one",
    ),
    Mutant(
        "empty manifest accepted",
        _PLANNING,
        "            failure = _unexplained(name, problem.error)\n",
        _TAKEN_FOR_EMPTY,
        "tests/test_publish.py::test_a_damaged_manifest_is_a_failed_cluster[empty]",
    ),
    Mutant(
        "manifest of another run accepted",
        _PLANNING,
        "if (header.run_id, header.cluster) != (self._run.run_id, name):",
        "if header.cluster != name:",
        "tests/test_publish.py::test_a_manifest_of_another_run_is_none",
    ),
    Mutant(
        "manifest of another cluster accepted",
        _PLANNING,
        "if (header.run_id, header.cluster) != (self._run.run_id, name):",
        "if header.run_id != self._run.run_id:",
        "tests/test_publish.py::test_a_manifest_of_another_cluster_is_none",
    ),
    Mutant(
        "old manifests met by a run that begins anew",
        "steps/discover.py",
        "    remove(files.root)  # a retried discover",
        "    # a retried discover",
        "tests/test_publish.py::test_a_run_id_that_is_used_again_begins_anew",
    ),
    Mutant(
        "CRC unchecked",
        "steps/workdir/rowfile.py",
        "!= tail.crc32:",
        "!= tail.crc32 and False:",
        "tests/workdir/test_rowfile.py::test_every_flipped_bit_is_noticed",
    ),
    Mutant(
        "order of the rows unchecked",
        "steps/core/sorted_join.py",
        "if last is not None and row.path <= last:",
        "if False:",
        "tests/core/test_sorted_join.py::test_a_stream_that_does_not_ascend_strictly_is_an_error_on_either_side",
    ),
    # -- caches -----------------------------------------------------------------------------------
    Mutant(
        "stale cache trusted: whatever tree Git holds",
        _CACHES,
        "return header is not None and header.tree == tree",
        "return header is not None",
        "tests/workdir/test_cache.py::test_what_somebody_pushed_meanwhile_is_seen",
    ),
    Mutant(
        "stale cache trusted: the id of its tree is taken over, not computed",
        _CACHES,
        "tree=str(tree_id)",
        "tree=read_header(baseline, BaselineHeader).tree",
        "tests/workdir/test_cache.py::test_a_cache_names_the_tree_that_git_holds",
    ),
    Mutant(
        "stale cache trusted: whatever blob Git holds",
        _BASELINES,
        "if cached is not None and (held.mode, held.oid) == (GitMode.FILE, cached.oid):",
        "if cached is not None:",
        "tests/workdir/test_cache.py::test_what_somebody_pushed_meanwhile_is_seen",
    ),
    Mutant(
        "stale cache trusted: the ETag alone",
        _DOWNLOAD,
        'listed == b"\\t" + known',
        'listed.split(b"\\t")[2:] == known.split(b"\\t")[1:]',
        "tests/workdir/test_cache.py::test_an_etag_proves_nothing_where_the_size_differs",
    ),
    Mutant(
        "stale cache trusted: the size alone",
        _DOWNLOAD,
        'listed == b"\\t" + known',
        'listed.split(b"\\t")[1::2] == known.split(b"\\t")[::2]',
        "tests/test_publish.py::test_the_message_is_the_designs",
    ),
    Mutant(
        "stale cache trusted: where the store tells no ETags",
        _DOWNLOAD,
        ' and b"\\t\\t" not in known',
        "",
        "tests/runs/test_failures.py::test_a_store_that_lists_no_etags_is_read_all_the_same[False]",
    ),
    Mutant(
        "stale cache trusted: another cluster's",
        _CACHES,
        "(header.identity, header.cluster) == (self._identity, cluster)",
        "header.identity == self._identity",
        "tests/workdir/test_cache.py::test_another_cluster_is_no_witness",
    ),
    Mutant(
        "stale cache trusted: another identity's",
        _CACHES,
        "(header.identity, header.cluster) == (self._identity, cluster)",
        "header.cluster == cluster",
        "tests/workdir/test_cache.py::test_another_bucket_is_no_witness",
    ),
    Mutant(
        "stale cache trusted: another identity's tip",
        _CACHES,
        "if read_header(path, TipHeader) != TipHeader(identity=self._identity, commit=commit):",
        "if read_header(path, TipHeader).commit != commit:",
        "tests/workdir/test_cache.py::test_another_path_is_no_witness",
    ),
    Mutant(
        "full mode trusts caches: of what Git holds",
        _BASELINES,
        "return self.settings.sync_mode is Mode.INCREMENTAL",
        "return True",
        "tests/workdir/test_cache.py::test_a_full_run_believes_nothing",
    ),
    Mutant(
        "full mode trusts caches: of what is unchanged",
        _DOWNLOAD,
        "if held is not None and unchanged and incremental:",
        "if held is not None and unchanged:",
        "tests/test_run.py::test_full_mode_fetches_everything_and_finds_what_a_wrong_cache_hid",
    ),
    Mutant(
        "stale cache trusted: again, when it has been found to lie",
        _PUBLISH,
        "self.volume.forget()",
        "pass",
        "tests/workdir/test_cache.py::test_a_lie_that_came_out_is_not_believed_again",
    ),
    # -- writing Git ------------------------------------------------------------------------------
    Mutant(
        "force push",
        _GIT,
        "f\"--force-with-lease={self._ref}:{base or ''}\"",
        '"--force"',
        "tests/test_publish.py::test_a_branch_that_moves_at_each_push_is_followed[GET]",
    ),
    Mutant(
        "lease dropped",
        _GIT,
        "f\"--force-with-lease={self._ref}:{base or ''}\"",
        '"--quiet"',
        "tests/test_publish.py::test_a_branch_that_is_renamed_under_a_push_is_not_revived",
    ),
    Mutant(
        "push's answer believed: it says ok",
        _PUBLISH,
        "now = repository.remote_tip()",
        "now = oid if cause is lied else repository.remote_tip()",
        "tests/test_publish.py::test_a_server_that_says_ok_and_drops_the_ref_is_found_out",
    ),
    Mutant(
        "push's answer believed: it says that it failed",
        _PUBLISH,
        "cause = failed.cause",
        "raise self._failed(failed.cause)",
        "tests/test_publish.py::test_a_push_that_landed_and_was_reported_as_failed_is_a_success",
    ),
    Mutant(
        "moved branch not planned again",
        _PUBLISH,
        "if newer_here or tip != self.run.base:",
        "if newer_here:",
        "tests/test_publish.py::test_a_commit_elsewhere_in_the_repository_is_built_upon",
    ),
    Mutant(
        "run's own commit not recognised",
        _PUBLISH,
        "if ours := made_by(self.run, since):",
        "if False:",
        "tests/test_publish.py::test_a_publish_that_is_done_again_reports_the_same_commit",
    ),
    Mutant(
        "superseding off: by runs that have committed",
        _PUBLISH,
        "superseded = newer_here | (",
        "superseded = newer_here or set() and (",
        "tests/test_publish.py::test_an_old_run_that_is_retried_changes_nothing",
    ),
    Mutant(
        "what is older than the run counts as published since, on a branch that was set back",
        _GIT,
        'return self._log(_BASE, f"^{commit}")',
        "return self._log(_BASE)",
        "tests/test_publish.py::test_a_branch_that_was_set_back_meanwhile_is_built_upon",
    ),
    Mutant(
        "a history that cannot be placed is taken for older",
        "steps/publishing/replan.py",
        '        raise TryAgain("git_push", "Failed to push to repository", unknown)\n',
        "        return []\n",
        "tests/test_publish.py::test_a_replica_that_lags_behind_holds_nothing_that_was_published_since",
    ),
    Mutant(
        "run's own commit not recognised beside an unknown beginning",
        "steps/publishing/replan.py",
        "    if made_by(run, commits) or run.base is None",
        "    if run.base is None",
        "tests/test_publish.py::test_what_has_been_pushed_is_known_also_where_the_run_s_beginning_is_known_no_more",
    ),
    Mutant(
        "whatever keeps the run's beginning from us means that there is none",
        "steps/clients/git/repository.py",
        "            if _NO_SUCH_COMMIT.search(problem.error):\n",
        "            if True:\n",
        "tests/test_publish.py::test_a_run_whose_beginning_cannot_be_asked_for_says_why",
    ),
    Mutant(
        "run's beginning may be anything",
        "steps/contracts.py",
        '        pattern=r"^[0-9a-f]{40}$", description="commit that',
        '        description="commit that',
        "tests/test_publish.py::test_a_forged_beginning_of_a_run_is_no_option_of_git",
    ),
    Mutant(
        "files of the last run that cannot be removed are passed over",
        "steps/download.py",
        "    directory.result()  # also",
        "    # also",
        "tests/runs/test_failures.py::test_what_the_last_run_has_fetched_and_cannot_be_removed_is_heard_of",
    ),
    Mutant(
        "an object is tried twice",
        "steps/clients/s3/store.py",
        "_PAUSES = (0.2, 0.4)",
        "_PAUSES = (0.2,)",
        "tests/runs/test_failures.py::test_an_object_is_tried_three_times_before_its_cluster_has_failed",
    ),
    Mutant(
        "a branch is absent by one answer",
        _BASELINES,
        "repository.remote_tip() or repository.remote_tip()",
        "repository.remote_tip()",
        "tests/test_publish.py::test_a_branch_is_asked_for_twice_before_it_counts_as_absent",
    ),
    Mutant(
        "superseding off: by runs that had nothing to commit",
        "steps/publishing/replan.py",
        "    return newer\n",
        "    return set()\n",
        "tests/test_publish.py::"
        "test_an_old_run_that_is_retried_after_one_that_changed_nothing_does_nothing_either",
    ),
    Mutant(
        "deletions after modifications",
        _COMMITTING,
        """\
    for row in read_rows(plan.rows, PlanRow):
        if row.change == "D":
            yield fast_import.delete(prefix + row.path)
    for row in read_rows(plan.rows, PlanRow):
        if row.change != "D" and row.oid in plan.by_id:
            yield fast_import.write_blob(prefix + row.path, row.oid)
        elif row.change != "D":
            yield fast_import.write_inline(prefix + row.path, row.size)
            yield from _exactly(os.path.join(objects, row.path), row.size)
            yield fast_import.END_OF_DATA
""",
        """\
    for row in read_rows(plan.rows, PlanRow):
        if row.change != "D" and row.oid in plan.by_id:
            yield fast_import.write_blob(prefix + row.path, row.oid)
        elif row.change != "D":
            yield fast_import.write_inline(prefix + row.path, row.size)
            yield from _exactly(os.path.join(objects, row.path), row.size)
            yield fast_import.END_OF_DATA
    for row in read_rows(plan.rows, PlanRow):
        if row.change == "D":
            yield fast_import.delete(prefix + row.path)
""",
        "tests/runs/test_deletion_guard.py::test_a_file_becomes_a_directory_and_back",
    ),
    Mutant(
        "proof of the commit skipped",
        _COMMITTING,
        "if row is None or got is None or _outcome(row) != (got.change, got.after):",
        "if False:",
        "tests/test_publish.py::test_bytes_that_changed_on_the_volume_are_not_published",
    ),
    Mutant(
        "file of somebody's in the place of a cluster replaced",
        _DOWNLOAD,
        "if cluster in job.run.obstructed:",
        "if False:",
        "tests/runs/test_deletion_guard.py::test_a_clusters_directory_that_is_a_file_in_git_fails_that_cluster",
    ),
    Mutant(
        "file of somebody's in the place of GIT_PATH replaced",
        _BASELINES,
        "if repository.is_obstructed(commit, git_path):",
        "if False:",
        "tests/runs/test_deletion_guard.py::test_git_path_that_is_a_file_in_git_needs_a_person",
    ),
    Mutant(
        "push that a hook refuses made again and again",
        _PUBLISH,
        "if not cause.transient:",
        "if False:",
        "tests/test_publish.py::test_a_rejecting_hook_is_not_asked_again",
    ),
    Mutant(
        "branch found by the end of its name",
        _GIT,
        "oid = tips.get(self._ref)",
        "oid = next((oid for ref, oid in tips.items() if ref.endswith(self._ref)), None)",
        "tests/test_publish.py::test_a_branch_whose_name_ends_alike_is_another_branch",
    ),
    Mutant(
        "what a retried download brought is published unjudged",
        _PUBLISH,
        "left = {Status.FAILED, Status.OVER_LIMIT}",
        "left = {Status.OVER_LIMIT}",
        "tests/workflows/test_pipeline.py::"
        "test_what_a_retried_download_brought_after_detect_puts_nothing_old_over_newer",
    ),
    Mutant(
        "somebody's edit lost unheard",
        _PUBLISH,
        "log_conflicts(repository, self.files, self.run, plan, since)",
        "pass",
        "tests/test_publish.py::test_an_edit_under_a_cluster_loses_and_is_called_a_conflict",
    ),
    # -- secrets and strangers --------------------------------------------------------------------
    Mutant(
        "credential helper answers for any host",
        _ACCESS,
        "[credential {_config_value(f'{parts.scheme}://{parts.netloc}')}]",
        "[credential]",
        "tests/runs/test_secrets.py::test_git_is_told_the_token_for_its_own_host_alone",
    ),
    Mutant(
        "redirect followed",
        "steps/clients/http.py",
        "redirect=False",
        "redirect=True",
        "tests/runs/test_secrets.py::test_a_redirect_of_webhook_and_pushgateway_is_not_followed",
    ),
    Mutant(
        "redirect followed to plain HTTP",
        _ACCESS,
        '(":http" if settings.git_allow_http else "")',
        '":http"',
        "tests/runs/test_secrets.py::test_a_redirect_of_git_takes_no_token_along",
    ),
    Mutant(
        "any certificate believed: the bucket's",
        _STORE,
        '"cert_reqs": "CERT_REQUIRED"',
        '"cert_reqs": "CERT_NONE"',
        "tests/clients/git/test_config.py::test_the_bucket_over_https_with_an_own_ca",
    ),
    Mutant(
        "any certificate believed: the webhook's",
        "steps/clients/http.py",
        '"cert_reqs": "CERT_REQUIRED"',
        '"cert_reqs": "CERT_NONE"',
        "tests/reporting/test_webhook.py::test_a_hook_under_an_authority_of_ones_own",
    ),
    Mutant(
        "any certificate believed: Git's",
        _ACCESS,
        "\\tlowSpeedLimit = 1\n",
        "\\tlowSpeedLimit = 1\n\\tsslVerify = false\n",
        "tests/clients/git/test_config.py::test_a_certificate_that_nobody_vouches_for_needs_a_person",
    ),
    Mutant(
        "any SSH host believed",
        _ACCESS,
        '"StrictHostKeyChecking": "yes"',
        '"StrictHostKeyChecking": "no"',
        "tests/clients/git/test_config.py::test_an_unknown_host_key_is_refused",
    ),
    Mutant(
        "secret not redacted",
        "steps/runtime/logs.py",
        'return pattern.sub("***", value)',
        "return value",
        "tests/runtime/test_logs.py::test_no_secret_is_written_in_any_field_and_spelling",
    ),
    Mutant(
        "secret not redacted in base64",
        "steps/runtime/logs.py",
        '"|".join([*plain, *encoded])',
        '"|".join(plain)',
        "tests/runs/test_secrets.py::test_whatever_goes_wrong_shows_no_secret[S3 says 403]",
    ),
    Mutant(
        "secret not redacted in documents",
        _REPORT,
        'logs.redacted(result.error or "")',
        'result.error or ""',
        "tests/runs/test_secrets.py::test_whatever_goes_wrong_shows_no_secret[S3 says 403]",
    ),
    Mutant(
        "hooks not disabled",
        _ACCESS,
        "\\thooksPath = /dev/null\n",
        "",
        "tests/test_publish.py::test_a_hook_that_is_planted_while_a_run_goes_on_is_not_run",
    ),
    Mutant(
        "symlink followed on the volume",
        "steps/workdir/volume.py",
        "if os.path.islink(directory) or not os.path.isdir(directory):",
        "if not os.path.isdir(directory):",
        "tests/workdir/test_volume.py::test_no_link_leads_out_of_the_directory",
    ),
    Mutant(
        "somebody's clone replaced",
        _GIT,
        "        if theirs:\n",
        "        if False:\n",
        "tests/test_publish.py::test_somebodys_clone_or_home_is_left_alone",
    ),
    # -- what a run leaves and says ---------------------------------------------------------------
    Mutant(
        "counter counted twice on a repeated report",
        "steps/core/counters.py",
        "if run_id in self.counted_runs:",
        "if False:",
        "tests/reporting/test_metrics.py::test_a_report_that_is_repeated_counts_nothing_twice",
    ),
    Mutant(
        "last success moved by a filtered run",
        _REPORT,
        "if result.exit_code == Exit.OK and not result.narrowed and not superseded:",
        "if result.exit_code == Exit.OK and not superseded:",
        "tests/runs/test_deletion_guard.py::test_what_filters_leave_out_is_neither_written_nor_deleted",
    ),
    Mutant(
        "last success moved by a run of which a cluster failed",
        _REPORT,
        "if result.exit_code == Exit.OK and not result.narrowed",
        "if achieved and not result.narrowed",
        "tests/runs/test_failures.py::test_one_failing_cluster_keeps_its_files_and_does_not_stop_the_others"
        "[the prefix is forbidden]",
    ),
    Mutant(
        "last success moved back by a run that is reported late",
        _REPORT,
        "last_success = max(filter(None, (last_success, success)), key=lambda known: known.at)",
        "last_success = success",
        "tests/test_cli.py::test_an_old_run_that_is_reported_late_turns_nothing_back",
    ),
    Mutant(
        "stale backups called healthy",
        "steps/reporting/health.py",
        "if now > limit:",
        "if False:",
        "tests/test_cli.py::test_health_is_the_last_successs_age",
    ),
    Mutant(
        "damaged state taken as zero",
        _REPORT,
        "except (FileNotFoundError, IsADirectoryError):",
        "except (FileNotFoundError, IsADirectoryError, SyncError):",
        "tests/test_cli.py::test_a_damaged_state_is_an_error_and_never_zeros",
    ),
    Mutant(
        "exit code order",
        "steps/core/exit_codes.py",
        "    Exit.CONFIGURATION,\n    Exit.TRANSIENT,\n",
        "    Exit.TRANSIENT,\n    Exit.CONFIGURATION,\n",
        "tests/core/test_exit_codes.py::test_of_several_the_most_severe_wins_in_any_order",
    ),
    Mutant(
        "failed cluster hidden by those that went well",
        "steps/contracts.py",
        "    elif failed:\n        exits.add(Exit.PARTIAL)\n",
        "",
        "tests/runs/test_failures.py::test_one_failing_cluster_keeps_its_files_and_does_not_stop_the_others"
        "[the prefix is forbidden]",
    ),
    Mutant(
        "refusal hidden",
        "steps/contracts.py",
        "        exits.add(Exit.REFUSED)\n",
        "        pass\n",
        "tests/runs/test_deletion_guard.py::test_a_mass_deletion_is_refused_and_the_rest_is_committed",
    ),
    Mutant(
        "step believes the run of another configuration",
        "steps/commands.py",
        "    if here != found:\n",
        "    if False:\n",
        "tests/test_cli.py::test_a_step_refuses_the_run_of_another_configuration",
    ),
    Mutant(
        "dry run writes",
        _PUBLISH,
        "if run.download_only or run.dry_run:",
        "if run.download_only:",
        "tests/runs/test_deletion_guard.py::test_a_dry_run_prints_the_plan_and_changes_nothing",
    ),
    Mutant(
        "dry run leaves a trace",
        _REPORT,
        "if result.dry_run:",
        "if False:",
        "tests/runs/test_deletion_guard.py::test_a_dry_run_prints_the_plan_and_changes_nothing",
    ),
    Mutant(
        "SIGTERM swallowed",
        "steps/errors.py",
        "class Terminated(BaseException):",
        "class Terminated(Exception):",
        "tests/test_cli.py::test_a_stopped_run_says_so_and_leaves_nothing_running",
    ),
    Mutant(
        "file there before it is complete",
        "steps/workdir/volume.py",
        "            yield out\n        os.replace(temporary, path)\n",
        "            os.replace(temporary, path)\n            yield out\n",
        "tests/workdir/test_volume.py::test_a_file_appears_once_it_is_complete",
    ),
    Mutant(
        "two runs at a time on one volume",
        "steps/workdir/volume.py",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "tests/workdir/test_volume.py::test_a_second_run_is_told_who_holds_the_directory_and_may_try_again",
    ),
)
