"""The pipeline for Argo Workflows, and the other manifests of an installation: `make manifests`."""
