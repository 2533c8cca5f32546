#!/bin/sh
# Summarizes what a push changed in the backup repository, for a CI job: one line per cluster, and one line per
# security-relevant file, as Markdown. Names are in code spans, so that they cannot be links or mentions. With FAIL_ON_MARKED=1 it exits with code 1 if such files changed. Copy it into the backup
# repository, but not below GIT_PATH: git-sync owns that directory.
#
# usage: backup-changes.sh BEFORE AFTER [GIT_PATH]
set -eu

before=$1 after=$2 path=${3:-clusterbackup/}
# A new branch has no previous commit: compare with the empty tree.
if ! git rev-parse --quiet --verify "$before^{commit}" >/dev/null; then
    before=$(git hash-object -t tree /dev/null)
fi

# An awk function: a code span, between more backticks than its text has in a row.
# shellcheck disable=SC2016
code='
    function code(text,    fence, rest) {
        fence = "`"
        rest = text
        while (match(rest, /`+/)) {
            if (RLENGTH >= length(fence)) fence = substr(rest, RSTART, RLENGTH) "`"
            rest = substr(rest, RSTART + RLENGTH)
        }
        return fence " " text " " fence
    }'

changes=$(git -c core.quotePath=true diff --no-renames --name-status "$before" "$after" -- "$path")

printf '%s\n' "$changes" | awk -F '\t' -v skip="${#path}" "$code"'
    NF == 2 {
        file = $2
        sub(/^"/, "", file)
        split(substr(file, skip + 1), parts, "/")
        count[parts[1] " " $1]++
        clusters[parts[1]]
    }
    END {
        # "- " before the name: GitHub Actions executes lines that start with "::".
        for (cluster in clusters)
            printf "- %s: %d new, %d modified, %d deleted\n", code(cluster),
                count[cluster " A"], count[cluster " M"], count[cluster " D"]
    }' | sort

marked=$(printf '%s\n' "$changes" |
    grep -iE '/(secret|networkpolic(y|ie)|(cluster)?role(binding)?)s?(\.[a-z0-9.-]+)?/[^/]*$' || true)
if [ -n "$marked" ]; then
    printf '\nSecurity-relevant changes:\n\n'
    printf '%s\n' "$marked" | awk -F '\t' "$code"'{ print "- " $1 " " code($2) }'
    [ "${FAIL_ON_MARKED:-0}" != 1 ] || exit 1
fi
