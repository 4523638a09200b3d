"""What the pods of a fleet tell each other over a store, beside the calls, never in their way."""
