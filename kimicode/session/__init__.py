"""The durable session: journal, store, and the one place where events are emitted."""
