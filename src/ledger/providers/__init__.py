"""Providers: which of them are paused, because they kept failing."""
