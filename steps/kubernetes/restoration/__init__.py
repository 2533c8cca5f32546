"""What of a backup becomes a manifest that an empty cluster accepts (pure)."""
