#!/bin/sh
# What a push to the backup repository changed, for a CI job: one line per cluster, one per file that deserves a
# second look. Exit code 1 if such files changed and FAIL_ON_MARKED is 1. Copy it into the backup repository,
# anywhere but below GIT_PATH: all that is git-sync's.
#
# usage: backup-changes.sh BEFORE AFTER [GIT_PATH]
set -eu

before=$1 after=$2 path=${3:-clusterbackup/}
# A new branch has no before.
if ! git rev-parse --quiet --verify "$before^{commit}" >/dev/null; then
    before=$(git hash-object -t tree /dev/null)
fi

changes=$(git -c core.quotePath=true diff --no-renames --name-status "$before" "$after" -- "$path")

printf '%s\n' "$changes" | awk -F '\t' -v skip="${#path}" '
    NF == 2 {
        file = $2
        sub(/^"/, "", file)
        split(substr(file, skip + 1), parts, "/")
        count[parts[1] " " $1]++
        clusters[parts[1]]
    }
    END {
        for (cluster in clusters)
            printf "- %s: %d new, %d modified, %d deleted\n", cluster, # a CI may obey lines that begin with "::"
                count[cluster " A"], count[cluster " M"], count[cluster " D"]
    }' | sort

marked=$(printf '%s\n' "$changes" |
    grep -iE '/(secret|networkpolic(y|ie)|(cluster)?role(binding)?)s?(\.[a-z0-9.-]+)?/[^/]*$' || true)
if [ -n "$marked" ]; then
    printf 'look twice:\n%s\n' "$marked"
    [ "${FAIL_ON_MARKED:-0}" != 1 ] || exit 1
fi
