"""Approvals: actions that wait for a person's word."""
