"""The event stream: what happens in Ledger, told over the API as it happens."""
