"""Prompts and sandbox files are found in a checkout; a name never leads out of their folders."""

from __future__ import annotations

import pytest

from kimicode import resources
from kimicode.errors import ConfigError


def test_found() -> None:
    assert resources.prompt("tools/shell").startswith("Run a command")
    assert resources.sandbox_file("runner.py").is_file()


@pytest.mark.parametrize("name", ["nothing", "../README", "/etc/passwd"])
def test_missing(name: str) -> None:
    with pytest.raises(ConfigError, match="is missing") as caught:
        resources.prompt(name)
    assert "Install kimicode again" in caught.value.hint
