"""git-sync: many clusters' backups, out of one S3 bucket and into Git history."""

__version__ = "0.1.0"
