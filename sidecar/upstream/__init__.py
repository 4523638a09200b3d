"""The provider side: HTTP client, kinds as data, failure translation, the simulated provider."""
