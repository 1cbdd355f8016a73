"""Values, events and decisions: pure, and imported by everything else."""
