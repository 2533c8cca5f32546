"""The process itself: settings, log, redaction, hardening, signals, retries, progress bar.

Imports contracts, errors and core.
"""
