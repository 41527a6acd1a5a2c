"""The log of events: what has happened, in order, kept for a while so that readers who were away miss nothing."""
