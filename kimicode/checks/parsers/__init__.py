"""One pure parser for each test runner: printed text and an optional report in, test results out."""
