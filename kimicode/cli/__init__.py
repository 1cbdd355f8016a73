"""The command line: parses, calls app, turns the outcome into text and an exit code."""
