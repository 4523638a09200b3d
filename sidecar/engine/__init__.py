"""Acting on decisions: calls, attempts, relays, probes, drain; async, without sockets."""
