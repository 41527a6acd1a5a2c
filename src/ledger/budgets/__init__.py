"""Budgets: what may be spent in a day, and what has been."""
