"""What Git has, what the bucket has, and what to change: baselines, manifests, plans.

Imports clients, workdir, runtime and what is below; never publishing or reporting.
"""
