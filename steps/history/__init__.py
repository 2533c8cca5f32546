"""Commands that read the history of a repository of backups. They need no bucket and change nothing."""
