"""``python -m steps``."""

from steps.cli import main

main()
