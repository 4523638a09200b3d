"""A sidecar that keeps LLM calls working when the providers do not: see docs/architecture.md."""
