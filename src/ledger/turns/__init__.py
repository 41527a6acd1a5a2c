"""Turns: what each loop owes each thread, and who is working on it."""
