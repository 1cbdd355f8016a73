"""kimicode: give it an issue, get a tested commit."""

__version__ = "0.1.0"
