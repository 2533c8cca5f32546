"""The pipeline for Argo Workflows, and what else an installation needs: `make manifests` writes it all."""
