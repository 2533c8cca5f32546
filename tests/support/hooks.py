"""pre-receive hooks of Git hosts that refuse pushes by content, path, size, author or number of files."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from tests.support.repositories import install_hook


class By(StrEnum):
    """What a hook refuses: a shell condition over ``$path``, ``$oid`` and ``$change`` of each file.

    No condition starts a process, because a push may have sixty files: ``_FOUND`` selects files by content.
    """

    CONTENT = 'case "$found" in *"$nl$new:$path$nl"*) [ "$change" != D ];; *) false;; esac'
    PATH = 'case "$path" in */forbidden/*) true;; *) false;; esac'
    NEW_PATH = '[ "$change" = A ] && case "$path" in */forbidden/*) true;; *) false;; esac'
    SIZE = 'case "$found" in *"$oid"*) [ "$change" != D ];; *) false;; esac'
    COUNT = '[ "$number" -gt 3 ]'
    ANY = "true"


class Words(StrEnum):
    """What a hook prints about each file that it refuses."""

    NOTHING = ""
    GITHUB = "- Push cannot contain secrets\\n  locations:\\n    - commit: $new\\n      path: $path:2\\n"
    GITHUB_BLOB = "- Push cannot contain secrets\\n  locations:\\n    - blob id: $oid\\n"
    GITLAB_NAME = 'GitLab: File name $path was prohibited by the pattern \\"forbidden\\".\\n'
    GITLAB_SIZE = "GitLab: one or more blobs which exceed the 0.01MiB limit:\\n\\n- $oid (1 MiB)\\n"
    GITEA = "branch main is protected from changing file $path\\n"
    PLAIN = "$path: refused by policy 7\\n"
    PASSING = 'the value \\"under maintenance\\" is forbidden in $path\\n'


def refuse(
    repository: Path,
    by: By,
    words: Words = Words.NOTHING,
    *,
    kill_after: int = 0,
    move_after: int = 0,
    break_after: int = 0,
) -> None:
    """Refuse each push with a file for which the condition is true, and print ``words`` for each such file.

    After the push with the given number git-sync is killed, another user pushes, or the branch is hidden.
    """
    reset(repository)
    condition = _FILES.replace("CONDITION", by.value).replace("WORDS", words.value)
    fault = ""
    if kill_after or move_after or break_after:
        fault = _FAULT.format(kill=kill_after, move=move_after, hide=break_after)
    install_hook(repository, "pre-receive", _HOOK.replace("CHECK", fault + _FOUND.get(by, "") + condition))


def refuse_author(repository: Path, email: str) -> None:
    """Refuse each push of a commit by this author."""
    check = f"""
if [ "$(git log -1 --format=%ae "$new")" = {email} ]; then
  echo "GitLab: Committer's email '{email}' does not follow the pattern '@example.org$'"
  exit 1
fi
"""
    install_hook(repository, "pre-receive", _HOOK.replace("CHECK", check))


def reset(repository: Path) -> None:
    """Accept every push again."""
    shutil.rmtree(repository / "hooks", ignore_errors=True)


def pushes(repository: Path) -> int:
    """The number of pushes that have reached the hook."""
    counted = repository / "hooks" / "pre-receive.pushes"
    return len(counted.read_text().splitlines()) if counted.exists() else 0


def wait_for_pushes(repository: Path) -> None:
    """Wait until git has finished the pushes of a git-sync that was killed."""
    while any(_is_push(process, repository) for process in Path("/proc").glob("[0-9]*/cmdline")):
        time.sleep(0.02)


def _is_push(process: Path, repository: Path) -> bool:
    with suppress(OSError):
        arguments = process.read_bytes().split(b"\0")
        return any(b"receive-pack" in argument for argument in arguments[:3]) and any(
            os.fsencode(repository) in argument for argument in arguments
        )
    return False


_HOOK = """#!/bin/sh
read -r old new ref
echo "$new" >> "$0.pushes"
case $old in *[!0]*) ;; *) old=$(git hash-object -t tree /dev/null);; esac
CHECK
exit 0
"""

# Kills `git-sync run` or `publish` in its own process, which is an ancestor of the hook of a repository over file://.
_FAULT = """
pushes=$(wc -l < "$0.pushes")
if [ "$pushes" -eq {kill} ]; then
  pid=$PPID
  while ! tr '\\0' ' ' < /proc/$pid/cmdline | grep -q -e "steps publish" -e "steps run"; do
    pid=$(sed 's/.*) . //' /proc/$pid/stat | cut -d' ' -f1)
  done
  kill -9 "$pid"
fi
if [ "$pushes" -eq {move} ]; then
  unset GIT_QUARANTINE_PATH
  export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@y GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@y
  (
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
    blob=$(echo theirs | git hash-object -w --stdin)
    export GIT_INDEX_FILE="$0.index"
    git read-tree main
    git update-index --add --cacheinfo "100644,$blob,theirs"
    git update-ref refs/heads/main "$(git commit-tree "$(git write-tree)" -p main -m theirs)"
  )
fi
if [ "$pushes" -eq {hide} ]; then
  git config transfer.hideRefs refs/heads/main
fi
"""
# The paths of a commit whose content has a token, as `git diff-tree` prints them, and its large blobs.
_FOUND = {
    By.CONTENT: """
nl='
'
found="$nl$(git -c grep.threads=1 grep -l ghp_ "$new")$nl"
""",
    By.SIZE: """
found=$(git ls-tree -r -l "$new" | awk '$4 > 10000 { print $3 }')
""",
}
_FILES = """
git diff-tree -r --no-renames "$old" "$new" | {
  bad=0 number=0
  while IFS='\t' read -r meta path; do
    set -- $meta
    oid=$4 change=$5 number=$((number + 1))
    if CONDITION; then
      bad=1
      printf '%b' "WORDS"
    fi
  done
  exit $bad
} || exit 1
"""
