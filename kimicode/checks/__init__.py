"""Finding, running and judging a project's checks."""
