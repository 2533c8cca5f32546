"""apply.sh: applies the stages in order. It is constant, and contains no name from Git."""

from __future__ import annotations

from steps.kubernetes.restoration.file_names import CLUSTER
from steps.kubernetes.restoration.stages import CRDS, STAGES

NAME = "apply.sh"

# Server-side apply has no limit of 256 KiB, and stores no copy of the object in an annotation.
# A failed file does not stop the others: kubectl prints it, and the script exits 1 at the end.
SCRIPT = f"""\
#!/bin/sh
# Applies this directory to the cluster of the current context. It can be repeated.
# Another cluster: KUBECTL="kubectl --context NAME" ./apply.sh. Arguments go to kubectl apply.
set -u
KUBECTL=${{KUBECTL:-kubectl}}
cd -- "$(dirname -- "$0")" || exit 1
failed=0
for stage in {" ".join(STAGES)}; do
    # Objects of the whole cluster come first: RoleBindings need their ClusterRoles.
    for directory in "$stage/{CLUSTER}" "$stage"/[!_]* "$stage"/_[0-9]*; do
        [ -d "$directory" ] || continue
        $KUBECTL apply --server-side --recursive --filename "$directory" "$@" || failed=1
    done
    if [ "$stage" = {CRDS} ] && [ -d "$stage" ]; then
        $KUBECTL wait --for=condition=Established --timeout=60s --recursive --filename "$stage" || failed=1
    fi
done
exit "$failed"
"""
