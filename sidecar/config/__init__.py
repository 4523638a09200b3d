"""Configuration: schema, loading, lint, and building one from the environment."""
