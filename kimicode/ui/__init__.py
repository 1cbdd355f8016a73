"""What people and programs see of a run: projections of its events."""
