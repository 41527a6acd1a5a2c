"""HEARTBEAT.md: its language, its versions, and the file on disk."""
