"""The files in WORK_DIR: run files, row files, caches, the download-only mirror.

Imports runtime, contracts, errors and what is below.
"""
