"""The operations that log lines, errors and results name: a public contract (docs/logs.md)."""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """What a log line is about. Most names are the users' own (requirements: Key Operations Tracked)."""

    CONFIGURATION = "configuration"
    SETUP_WORKDIR = "setup_workdir"
    MINIO_CONNECT = "minio_connect"
    DISCOVER = "discover"
    DOWNLOAD = "download"
    DETECT_CHANGES = "detect_changes"
    GIT_CLONE = "git_clone"
    GIT_COMMIT = "git_commit"
    GIT_PUSH = "git_push"
    GIT_DIFF = "git_diff"
    PUBLISH = "publish"
    REPORT = "report"
    METRICS_PUSH = "metrics_push"
    WEBHOOK = "webhook"
    SERVE = "serve"
    SYNC_COMPLETE = "sync_complete"
    HEALTH = "health"
    INTERNAL = "internal"
    S3_REQUEST = "s3_request"
    GIT_COMMAND = "git_command"
