"""Settings: what they are, where each value came from, and what a repository may not set."""

from __future__ import annotations

from kimicode.config.layers import Loaded, Origin, load
from kimicode.config.places import cache_dir, config_path, state_dir
from kimicode.config.repository import read_repository_files, repository_values
from kimicode.config.settings import Config, parse_duration

__all__ = [
    "Config",
    "Loaded",
    "Origin",
    "cache_dir",
    "config_path",
    "load",
    "parse_duration",
    "read_repository_files",
    "repository_values",
    "state_dir",
]
