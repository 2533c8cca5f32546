"""One object, one answer or one cluster must not stop the others."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from steps.core import limits
from tests.support.echo import echo
from tests.support.faults import Change, Status, nth, when
from tests.support.first_sync import first_sync
from tests.support.loopback import LoopbackHandler, LoopbackServer
from tests.support.repositories import commit_files, contents, git, message, tree, tree_of
from tests.support.trickle import HEADERS, trickling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.faults import Action, Request
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

OBJECTS = {
    f"clusterbackup/{cluster}/default/object-{number}.yaml": b"%d\n" % number
    for cluster in ("east", "north")
    for number in range(8)
}
EAST = "clusterbackup/east/"
KEY = f"{EAST}default/object-3.yaml"


def get_of(key: str) -> Callable[[Request], bool]:
    return lambda request: request.is_get and request.key == key


def listing_of(prefix: str) -> Callable[[Request], bool]:
    return lambda request: request.is_list and request.concerns(prefix)


# -- objects that the store refuses ----------------------------------------------------------------

REFUSALS = {
    "policy": Status(403, "AccessDenied"),
    "archived": Status(403, "InvalidObjectState"),
    "KMS key disabled": Status(400, "KMS.DisabledException"),
    "legal hold": Status(451, "UnavailableForLegalReasons"),
    "method": Status(405, "MethodNotAllowed"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_object_that_the_store_refuses_is_named_and_the_others_are_committed(
    refusal: Status, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    old = {KEY: b"old", f"{EAST}gone.yaml": b"gone"}
    commit_files(repository, old)
    bucket.put_many(OBJECTS)
    proxy.install(when(get_of(KEY), refusal))
    result = faulty()
    assert result.exit == 10
    assert contents(repository) == OBJECTS | {KEY: b"old"}, "Git keeps its file; deletions go on"
    assert f"{KEY}: {refusal.code}" in result.errors
    (cluster,) = [c for c in faulty.state["last_run"]["clusters"] if c["name"] == "east"]
    assert (cluster["status"], cluster["changes_deferred"]) == ("ok", 1)
    assert cluster["unavailable_sample"] == [f"{KEY}: {refusal.code}: injected by a test"]
    assert refusal.code in (faulty.work_dir / "report.md").read_text()
    assert faulty().exit == 10, "it is requested again at every run"
    proxy.clear()
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


@pytest.mark.parametrize("objects", [8, limits.DENIED_OBJECTS + 60])
def test_cluster_fails_with_one_error_if_the_store_refuses_every_object(
    objects: int, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    east = {f"{EAST}default/object-{number:03}.yaml": b"x" for number in range(objects)}
    bucket.put_many(OBJECTS | east)
    proxy.install(when(lambda r: r.is_get and r.concerns(EAST), Status(403, "AccessDenied")))
    result = faulty()
    assert result.exit == 10
    assert "the store refuses every object of the cluster" in result.errors
    assert all(not path.startswith(EAST) for path in contents(repository))
    assert "Git-Sync-Failed: east" in message(repository)
    assert len(proxy.fetched) < limits.DENIED_OBJECTS + 100, "it does not request all of them"


def test_expired_credentials_during_a_download_fail_the_cluster(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(get_of(KEY), Status(400, "ExpiredToken")))
    result = faulty()
    assert (result.exit, faulty.state["last_run"]["clusters"][0]["status"]) == (10, "failed")
    assert "ExpiredToken: injected by a test" in result.errors


@pytest.mark.parametrize("status", [403, 405])
def test_absence_is_proven_by_a_listing_where_head_is_not_allowed(
    status: int, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    first_sync(faulty, OBJECTS)
    bucket.delete(KEY)
    proxy.install(when(lambda r: r.method == "HEAD" and r.key != "", Status(status, "Denied")))
    assert faulty().exit == 0
    assert contents(repository) == {key: data for key, data in OBJECTS.items() if key != KEY}


def test_absence_is_not_proven_if_the_listing_contains_the_object(
    faulty: Sync, proxy: S3FaultProxy, repository: Path
) -> None:
    first_sync(faulty, OBJECTS)
    incomplete = Change(body=lambda xml: re.sub(rb"<Contents><Key>[^<]*object-3.*?</Contents>", b"", xml))
    proxy.install(
        when(lambda r: r.method == "HEAD" and r.key != "", Status(403, "Denied")),
        when(lambda r: r.is_list and r.query.get("prefix") == EAST, incomplete),
    )
    result = faulty()
    assert result.exit == 10
    assert f"the listing lacks {KEY}, but the object exists" in result.errors
    assert contents(repository) == OBJECTS


def test_absence_is_not_proven_by_404_to_a_deleted_access_key(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert faulty().exit == 0
    incomplete = Change(body=lambda xml: re.sub(rb"<Contents><Key>[^<]*object-3.*?</Contents>", b"", xml))
    deleted = threading.Event()

    def answer(request: Request) -> Action | None:
        if request.method == "HEAD" and request.key:
            deleted.set()
        if deleted.is_set():
            return Status(404, "XAdminUserNotFound")
        return incomplete if request.is_list and request.query.get("prefix") == EAST else None

    proxy.install(answer)
    result = faulty()
    assert result.exit == 10
    assert "Failed to list: XAdminUserNotFound: injected by a test; check MINIO_ACCESS_KEY" in result.errors
    assert contents(repository) == OBJECTS


# -- listings --------------------------------------------------------------------------------------


def repeated(xml: bytes) -> bytes:
    return re.sub(rb"(<Contents>(?:(?!</Contents>).)*object-3.*?</Contents>)", rb"\1\1", xml, flags=re.DOTALL)


def test_listing_ignores_an_identical_repetition(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(when(listing_of(EAST), Change(body=repeated)))
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


def test_listing_accepts_a_store_whose_start_after_is_inclusive(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    last: dict[str, bytes] = {}

    def inclusive(request: Request) -> Change | None:
        if not (request.is_list and request.query.get("prefix") == EAST):
            return None
        if not request.query.get("start-after"):
            return Change(body=lambda xml: last.setdefault("page", xml))
        entry = re.findall(rb"<Contents>.*?</Contents>", last["page"], flags=re.DOTALL)[-1]
        return Change(body=lambda xml: xml.replace(b"</ListBucketResult>", entry + b"</ListBucketResult>"))

    proxy.install(inclusive)
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS


UNUSABLE_DATES = [
    b"9999-12-31T23:59:59-12:00",
    b"9999-12-31T23:59:59Z",
    b"Sat, 12 Jul 2025 22:06:58 GMT",
    b"x",
    (datetime.now(UTC) + timedelta(hours=1)).isoformat().encode(),
]


@pytest.mark.parametrize("date", UNUSABLE_DATES, ids=["offset", "9999", "HTTP", "text", "in an hour"])
def test_listing_ignores_a_date_that_cannot_be_used(
    date: bytes, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    dated = Change(body=lambda xml: re.sub(rb"<LastModified>.*?<", b"<LastModified>" + date + b"<", xml))
    proxy.install(when(listing_of(EAST), dated))
    assert faulty().exit == 0
    assert contents(repository) == OBJECTS
    (east, north) = faulty.state["last_run"]["clusters"]
    assert (east["newest_object_at"], north["newest_object_at"] is not None) == (None, True)


def test_listing_with_a_negative_size_fails_its_cluster(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    negative = Change(body=lambda xml: re.sub(rb"<Size>\d+<", b"<Size>-99999999999<", xml, count=1))
    proxy.install(when(listing_of(EAST), negative))
    result = faulty()
    assert result.exit == 10
    assert "the listing has an object with the size -99999999999" in result.errors
    assert contents(repository) == {k: v for k, v in OBJECTS.items() if not k.startswith(EAST)}


# -- no server decides how long or how large -------------------------------------------------------


@pytest.mark.parametrize("of", [listing_of(EAST), get_of(KEY)], ids=["LIST", "GET"])
def test_retry_after_does_not_delay_a_run(
    of: Callable[[Request], bool], faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    proxy.install(nth(1, Status(503, "SlowDown", {"Retry-After": "86400"}), of))
    began = time.monotonic()
    assert faulty().exit == 0
    assert time.monotonic() - began < 60
    assert contents(repository) == OBJECTS


def test_answer_that_never_ends_fails_at_the_deadline(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "S3_ANSWER_SECONDS", 0.3)
    with trickling(HEADERS) as server:
        result = sync(MINIO_ENDPOINT=server.endpoint, RETRY_ATTEMPTS="1")
    assert result.exit == 30
    assert "no complete answer within 0.3 s" in result.errors


@pytest.mark.parametrize("status", [200, 403, 500])
def test_answer_that_decompresses_to_50_mib_is_rejected(
    status: int, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    bomb = gzip.compress(b"<Error><Code>AccessDenied</Code><Message>" + b"x" * (50 << 20))
    packed = Change(
        body=lambda _: bomb,
        headers=lambda headers: {**headers, "content-encoding": "gzip", "content-length": str(len(bomb))},
        status=status,
    )
    proxy.install(when(listing_of(EAST), packed))
    result = faulty()
    assert result.exit == 10
    assert "longer than 8,388,608 bytes" in result.errors
    assert contents(repository) == {k: v for k, v in OBJECTS.items() if not k.startswith(EAST)}
    assert sum(file.stat().st_size for file in faulty.work_dir.rglob("*") if file.is_file()) < 1 << 20


def test_message_of_the_server_is_truncated(faulty: Sync, bucket: Bucket, proxy: S3FaultProxy) -> None:
    bucket.put_many(OBJECTS)
    words = b"<Error><Code>AccessDenied</Code><Message>" + b"y" * 50_000 + b"</Message></Error>"
    of_east = lambda request: request.concerns(EAST)  # noqa: E731
    proxy.install(when(of_east, Change(body=lambda _: words, status=403)))
    result = faulty()
    assert result.exit == 10
    assert "y" * 900 in result.text
    assert "y" * 1001 not in result.text
    assert "y" * 1001 not in (faulty.work_dir / "sync-metadata.json").read_text()


def redirect(to: str) -> Change:
    return Change(
        status=307, body=lambda _: b"", headers=lambda headers: {**headers, "location": to, "etag": '"0"'}
    )


@pytest.mark.parametrize("method", ["LIST", "HEAD", "GET without an MD5"])
def test_s3_client_follows_no_redirect(
    method: str, faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    first_sync(faulty, OBJECTS)
    with echo() as other:
        other.status, other.headers, other.body = 200, {"ETag": '"abc-2"'}, "of another host\n"
        to = redirect(f"{other.url}/elsewhere")
        if method == "LIST":
            proxy.install(when(listing_of(EAST), to))
        elif method == "HEAD":
            bucket.delete(KEY)
            proxy.install(when(lambda r: r.method == "HEAD" and r.key != "", to))
        else:
            bucket.put(KEY, b"of another host!")
            listed = Change(body=lambda xml: re.sub(rb"(object-3.*?<ETag>).*?(</ETag>)", rb"\1abc-2\2", xml))
            proxy.install(when(listing_of(EAST), listed), when(get_of(KEY), to))
        result = faulty()
        assert other.got == []
    assert result.exit == 10
    assert f"the server redirects to {other.url}/elsewhere" in result.errors
    assert contents(repository) == OBJECTS


class Elsewhere(LoopbackHandler):
    """Answers every GET with the same content."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self.reply(200, {"Last-Modified": "Sat, 12 Jul 2025 22:06:58 GMT"}, b"9\n")


def test_content_of_another_host_is_not_accepted_without_the_md5_of_the_listing(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    other = LoopbackServer(Elsewhere)
    with other.running():
        proxy.install(when(get_of(KEY), redirect(f"http://{other.endpoint}/elsewhere")))
        result = faulty()
    assert result.exit == 10
    assert f"the server redirects to http://{other.endpoint}/elsewhere" in result.errors
    assert contents(repository) == {k: v for k, v in OBJECTS.items() if not k.startswith(EAST)}


# -- depth, and the paths in Git ---------------------------------------------------------------------


def test_key_with_too_many_levels_is_quarantined_and_opens_no_file_descriptor(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    deep = {f"clusterbackup/deep-{number}/{'a/' * 500}x": b"deep" for number in range(4)}
    bucket.put_many(OBJECTS | deep)
    result = sync()
    assert result.exit == 0
    assert contents(repository) == OBJECTS
    assert "too_many_levels" in result.text
    assert sync().exit == 0


def test_cluster_with_more_paths_in_git_than_max_objects_is_skipped_and_the_others_continue(
    sync: Sync, bucket: Bucket, repository: Path, proxy: S3FaultProxy
) -> None:
    first_sync(sync, OBJECTS)
    many = {f"{EAST}planted/{number:03}": b"x" for number in range(300)}
    commit_files(repository, many)
    bucket.put("clusterbackup/north/new.yaml", b"new")
    proxy.clear()
    result = sync(MINIO_ENDPOINT=proxy.server.endpoint, MAX_OBJECTS="200")
    assert result.exit == 20
    assert contents(repository) == OBJECTS | many | {"clusterbackup/north/new.yaml": b"new"}
    assert "it has more objects and directories than MAX_OBJECTS" in result.errors
    assert not any(request.concerns(EAST) and request.method == "HEAD" for request in proxy.requests)


def test_absence_is_not_requested_for_deletions_that_the_guard_refuses(
    faulty: Sync, bucket: Bucket, repository: Path, proxy: S3FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.planning.manifest.MOST_FOREIGN_FILES", 100)
    monkeypatch.setattr("steps.publishing.foreign.MOST_FOREIGN_FILES", 100)
    many = {f"{EAST}planted/{number:04}": b"x" for number in range(110)}  # too many for foreign files
    commit_files(repository, many)
    bucket.put_many(OBJECTS)
    result = faulty()
    assert result.exit == 20
    assert contents(repository) == OBJECTS | many
    assert [request for request in proxy.requests if request.method == "HEAD"] == []
    (cluster,) = [c for c in faulty.state["last_run"]["clusters"] if c["name"] == "east"]
    assert (cluster["decision"], cluster["deletions_refused"]) == ("mass_deletion", 110)
    assert len(cluster["deletions_refused_sample"]) == 20
    assert faulty("run", "--allow-delete", cluster["allow_delete"]).exit == 0
    assert len([request for request in proxy.requests if request.method == "HEAD"]) == 110
    assert contents(repository) == OBJECTS


# -- the volume ------------------------------------------------------------------------------------


def test_path_that_the_volume_does_not_accept_skips_only_its_object(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    long = f"{EAST}{'/'.join(['a' * 200] * 4)}.yaml"
    bucket.put_many(OBJECTS | {long: b"long"})
    deep = tmp_path.joinpath(*["w" * 200] * ((3400 - len(str(tmp_path))) // 201))  # PATH_MAX is 4,096
    result = sync.elsewhere(deep)()
    assert result.exit == 10
    assert f"{EAST}aaaa" in result.errors
    assert "the volume does not accept the path (file name too long)" in result.errors
    assert contents(repository) == OBJECTS


@pytest.mark.skipif(
    shutil.which("lowntfs-3g") is None, reason="no file system that ignores case: install ntfs-3g"
)
def test_volume_that_ignores_case_is_refused(sync: Sync, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_many(OBJECTS)
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkntfs", "-q", "-F", "-f", str(image)], check=True, capture_output=True)
    subprocess.run(["lowntfs-3g", "-o", "ignore_case", str(image), str(mounted)], check=True)
    try:
        result = sync.elsewhere(mounted / "work")()
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
    assert result.exit == 40
    assert "treats different names as the same file" in result.errors


def replace_cluster(repository: Path, cluster: str, tree_id: str) -> None:
    """Push a commit in which the directory of a cluster is this tree."""
    listed = git(repository, "ls-tree", "main:clusterbackup").decode().splitlines()
    clusters = {line.split("\t")[1]: line.split()[2] for line in listed} | {cluster: tree_id}
    root = tree_of(repository, *(("40000", name, oid) for name, oid in sorted(clusters.items())))
    top = tree_of(repository, ("40000", "clusterbackup", root))
    commit = git(repository, "commit-tree", top, "-p", "main", "-m", "by a person").decode().strip()
    git(repository, "update-ref", "refs/heads/main", commit)


@pytest.mark.parametrize(
    "names", [("a", "a"), ("b", "a"), ("..",), (".git",), ("a/b",), ("x" * 5000,)], ids=repr
)
def test_damaged_tree_of_a_cluster_does_not_stop_the_others(
    names: tuple[str, ...], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    first_sync(sync, {f"clusterbackup/{name}/x.yaml": b"1" for name in ("east", "west")})
    blob = tree(repository)["clusterbackup/east/x.yaml"].sha
    replace_cluster(repository, "east", tree_of(repository, *(("100644", name, blob) for name in names)))
    bucket.put("clusterbackup/west/x.yaml", b"2")
    outcome = sync()
    assert outcome.exit == 10
    states = {one["name"]: one["status"] for one in sync.state["last_run"]["clusters"]}
    assert states["east"] == "failed"
    assert git(repository, "cat-file", "blob", "main:clusterbackup/west/x.yaml") == b"2"
    assert re.search(r"its tree (is damaged|has a path of more than .*) at ", outcome.errors)


# -- what one committer pushes -----------------------------------------------------------------------


def run_measured(sync: Sync) -> tuple[int, int]:
    """Run git-sync in its own process, and return its exit code and its peak memory in bytes."""
    script = (
        "import os; from steps.cli import invoke; given = dict(os.environ); os.environ.clear();"
        "os.environ['PATH'] = given['PATH']; code = int(invoke(['run'], given));"
        "print(code, open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    environment = {"PATH": os.environ["PATH"], **sync.settings}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    code, kib = done.stdout.splitlines()[-1].split()
    return int(code), int(kib) << 10


def test_commit_with_a_huge_message_takes_no_memory_of_git_sync(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    commit_files(repository, {KEY: b"edited"}, message="x" * (64 << 20))
    code, peak = run_measured(sync)
    assert code == 0
    assert contents(repository) == OBJECTS
    assert peak < 130 << 20


@pytest.mark.parametrize("leaf", ["file", "nothing"])
@pytest.mark.parametrize("when", ["before the run", "during the run"])
def test_tree_with_shared_subtrees_takes_neither_time_nor_space(
    leaf: str, when: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    blob = git(repository, "rev-parse", f"main:{KEY}").decode().strip()
    shared = tree_of(repository, *((("100644", "x", blob),) if leaf == "file" else ()))
    for _ in range(12):
        shared = tree_of(repository, *(("40000", f"{number}{'n' * 250}", shared) for number in range(5)))
    bucket.put("clusterbackup/north/new.yaml", b"new")
    if when == "before the run":
        replace_cluster(repository, "east", shared)
        assert sync().exit == 20
    else:
        for step in ("discover", "download", "detect"):
            assert sync(step, *(("--run-id", "r") if step == "discover" else ())).exit == 0
        replace_cluster(repository, "east", shared)
        assert sync("publish").exit == 20
    assert git(repository, "cat-file", "blob", "main:clusterbackup/north/new.yaml") == b"new"
    assert git(repository, "rev-parse", "main:clusterbackup/east").decode().strip() == shared
    assert sum(file.stat().st_size for file in sync.work_dir.rglob("*") if file.is_file()) < 1 << 20


def test_clusters_in_git_share_the_objects_of_a_run(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    blob = git(repository, "rev-parse", f"main:{KEY}").decode().strip()
    large = tree_of(repository, *(("100644", f"{number:03}", blob) for number in range(90)))
    replace_cluster(repository, "east", large)
    bucket.put("clusterbackup/north/new.yaml", b"new")
    result = sync(MAX_RUN_OBJECTS="60", MAX_OBJECTS="100")
    assert result.exit == 20
    assert "with it the run would have more objects than MAX_RUN_OBJECTS" in result.errors
    assert git(repository, "cat-file", "blob", "main:clusterbackup/north/new.yaml") == b"new"


@pytest.mark.parametrize("directory", ["clusterbackup", "."])
def test_damaged_directory_above_the_clusters_is_named(
    directory: str, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    clusters = git(repository, "rev-parse", "main:clusterbackup").decode().strip()
    twice = (("40000", "clusterbackup", clusters), ("40000", "clusterbackup", clusters))
    top = tree_of(repository, *twice)
    if directory == "clusterbackup":
        east = git(repository, "rev-parse", "main:clusterbackup/east").decode().strip()
        damaged = tree_of(repository, ("40000", "north", east), ("40000", "east", east))
        top = tree_of(repository, ("40000", "clusterbackup", damaged))
    commit = git(repository, "commit-tree", top, "-p", "main", "-m", "by a person").decode().strip()
    git(repository, "update-ref", "refs/heads/main", commit)
    result = sync()
    assert result.exit == 40
    assert "GIT_PATH=clusterbackup/ or a directory above it is damaged at " in result.errors


def test_clusters_only_in_git_over_max_clusters_are_skipped_and_named(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    ghosts = {f"clusterbackup/ghost-{number:04}/x.yaml": b"%d" % number for number in range(2500)}
    commit_files(repository, ghosts)
    new = {"clusterbackup/north/new.yaml": b"new"}
    bucket.put_many(new)
    began = time.monotonic()
    result = sync()
    assert time.monotonic() - began < 30
    assert result.exit == 20
    assert contents(repository) == OBJECTS | ghosts | new
    assert result.errors.count("Clusters only in Git skipped: over MAX_CLUSTERS") == 1
    last = sync.state["last_run"]
    assert [cluster["name"] for cluster in last["clusters"]] == ["east", "north"]
    assert last["clusters_only_in_git_skipped"] == 2500
    assert last["clusters_only_in_git_sample"][0] == "ghost-0000"
    assert "2,500 clusters only in Git skipped" in (sync.work_dir / "report.md").read_text()
