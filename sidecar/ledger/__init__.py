"""The ledger: what calls and attempts cost and came to, bounded and off the request path."""
