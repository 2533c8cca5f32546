"""What people and machines see of a run: state, pages, metrics, webhook, HTTP.

Imports clients, workdir, runtime and what is below; never planning or publishing.
"""
