"""The setup step: what a repository needs installed before its checks can run, found, built once and kept."""
