"""Requests that come again: with an `Idempotency-Key` they are carried out once, and answered alike each time."""
