"""Fuzzers of all readers: what a file may contain, and what a reader may do with it. ``nox -s fuzz`` runs them."""
