"""Ledger, an always-on companion for conversation threads. Importing it never pulls in the server."""

from importlib.metadata import version

__version__ = version("ledger")
