"""The ledger itself: boards with posts, comments and votes."""
