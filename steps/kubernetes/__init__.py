"""Everything that knows what a Kubernetes object is: reading objects and comparing them.

Pure: imports core only; no I/O, no clock, no environment.
"""
