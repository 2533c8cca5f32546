"""From a plan to a pushed commit: writing and verifying it, and planning again when the branch moves.

Imports planning, clients and the layers below them; discover, download and detect never import it.
"""
