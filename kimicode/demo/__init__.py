"""The demonstration: a small repository with a bug, and the conversation that was written for it."""
