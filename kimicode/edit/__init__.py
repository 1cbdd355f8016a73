"""The edit engine: what a model wrote becomes line operations, located and replayed over a file's own bytes."""
