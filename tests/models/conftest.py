"""The environment of these tests: what a developer's shell says about proxies and keys has no part in them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

_PREFIXES = ("OPENAI_", "KIMI_", "MOONSHOT_", "OPENROUTER_")
_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def plain_environment() -> Iterator[None]:
    before = dict(os.environ)
    for name in before:
        if name.upper() in _NAMES or name.startswith(_PREFIXES):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)
