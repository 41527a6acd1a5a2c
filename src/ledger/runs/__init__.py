"""Runs: the record of every turn that was due."""
