"""The process itself: settings, log, redaction, signals, progress bar.

Imports contracts, errors and core.
"""
