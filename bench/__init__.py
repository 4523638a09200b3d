"""The benchmark harness: the sidecar beside other proxies, in one run on one machine."""
