"""`sidecar simulate`: a configuration against a history of incidents, in simulated time."""
