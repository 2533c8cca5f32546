"""The facts of the objects in many files; by several processes if there are many files."""

from __future__ import annotations

import os
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from steps.history.snapshot import read_files
from steps.kubernetes.facts import facts_of
from steps.kubernetes.objects import Unreadable
from steps.kubernetes.plain import objects_of_file
from steps.kubernetes.selection import namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from concurrent.futures import Future, ProcessPoolExecutor

    from steps.clients.git.objects import Objects
    from steps.core.changes import TreeRow
    from steps.history.snapshot import File
    from steps.history.source import Source
    from steps.kubernetes.facts import Facts
    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.selection import ObjectFilter
    from steps.kubernetes.volatile import RuleSet

# A process takes about half a second to start, and 0.5 ms for each object.
_FILES_OF_ONE_PROCESS = 3000
_MAX_PROCESSES = 4
_FILES_OF_TASK = 200
_PAIRS_READ_TOGETHER = 50
_PARSED_FILES = 4


class Version(NamedTuple):
    """The facts of an object, and its ``position`` in the file ``<cluster>/<rest>``."""

    path: bytes
    oid: str
    position: int
    facts: Facts


class Unread(NamedTuple):
    """A file whose objects are not known."""

    path: bytes
    reason: str


def read_versions(
    source: Source, objects: Objects, rows: list[TreeRow], chosen: ObjectFilter, rules: RuleSet
) -> Iterator[Version | Unread]:
    """Yield the selected objects of these files in their order, and the files that cannot be read."""
    files = read_files(source, objects, rows)
    if len(rows) < _FILES_OF_ONE_PROCESS or (os.cpu_count() or 1) == 1:
        for file in files:
            yield from versions_of(file, chosen, rules)
        return
    with _pool() as pool:
        yield from _in_processes(files, chosen, rules, pool)


def _pool() -> ProcessPoolExecutor:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Not "fork", because this process has threads.
    return ProcessPoolExecutor(min(_MAX_PROCESSES, os.cpu_count() or 1), get_context("spawn"))


def _in_processes(
    files: Iterator[File], chosen: ObjectFilter, rules: RuleSet, pool: ProcessPoolExecutor
) -> Iterator[Version | Unread]:
    waiting: deque[Future[list[Version | Unread]]] = deque()
    while task := list(islice(files, _FILES_OF_TASK)):
        waiting.append(pool.submit(_versions_of_all, task, chosen, rules))
        if len(waiting) > 2 * _MAX_PROCESSES:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


def _versions_of_all(files: Iterable[File], chosen: ObjectFilter, rules: RuleSet) -> list[Version | Unread]:
    return [found for file in files for found in versions_of(file, chosen, rules)]


def versions_of(file: File, chosen: ObjectFilter, rules: RuleSet) -> list[Version | Unread]:
    """Return the selected objects of a file; a file that cannot be read alone."""
    try:
        return [
            Version(file.path, file.oid, index, facts_of(one, rules))
            for index, one in enumerate(objects_of(file))
            if chosen.has(one.identity, namespace_of(one.identity, file.path))
        ]
    except Unreadable as problem:
        return [Unread(file.path, str(problem))]


def may_contain(content: bytes, texts: Iterable[bytes]) -> bool:
    """Whether the objects of a file may contain one of these texts, which have no white space.

    An escape (a backslash), a tag (``!!binary``) and UTF-16 can hide a text. kubectl reads all of them, also
    in one document of several.
    """
    if any(one in content for one in (*texts, b"\\", b"!")):
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def objects_of(file: File) -> list[KubernetesObject]:
    """Return the objects of a file. Raises Unreadable, also if git-sync has a bug."""
    if file.reason:
        raise Unreadable(file.reason)
    try:
        return objects_of_file(file.content)
    except Unreadable:
        raise
    except Exception as bug:  # noqa: BLE001 - one file must not hide the others
        raise Unreadable(f"git-sync failed to read it ({type(bug).__name__})") from None


def read_again(
    objects: Objects, pairs: Iterable[tuple[Version | None, Version | None]]
) -> Iterator[tuple[KubernetesObject | None, KubernetesObject | None]]:
    """Yield the objects of these pairs of versions; the files of a few pairs are in memory at a time."""
    remaining = iter(pairs)
    parsed: dict[str, list[KubernetesObject]] = {}
    while group := list(islice(remaining, _PAIRS_READ_TOGETHER)):
        oids = dict.fromkeys(one.oid for pair in group for one in pair if one is not None)
        contents = dict(objects.contents(oids))
        for before, after in group:
            yield _again(before, contents, parsed), _again(after, contents, parsed)


def _again(
    version: Version | None, contents: Mapping[str, bytes], parsed: dict[str, list[KubernetesObject]]
) -> KubernetesObject | None:
    """Return the object of a version; ``parsed`` has the last few files, which may contain many objects."""
    if version is None:
        return None
    if version.oid not in parsed:
        if len(parsed) >= _PARSED_FILES:
            del parsed[next(iter(parsed))]
        parsed[version.oid] = objects_of_file(contents[version.oid])
    return parsed[version.oid][version.position]
