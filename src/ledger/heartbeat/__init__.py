"""The heartbeat: when it is due, what it reads, how it decides."""
