"""A strict stand-in for Kimi's endpoint: real HTTP and SSE, faults on demand. It knows nothing of kimicode."""

from __future__ import annotations

from tests.fakes.kimi_server.rules import Refused, Rules, check_messages
from tests.fakes.kimi_server.script import (
    Answer,
    Fault,
    Script,
    call,
    cut,
    fail,
    html,
    overloaded,
    quota,
    rate_limited,
    say,
    stall,
)
from tests.fakes.kimi_server.server import Exchange, KimiServer

__all__ = [
    "Answer",
    "Exchange",
    "Fault",
    "KimiServer",
    "Refused",
    "Rules",
    "Script",
    "call",
    "check_messages",
    "cut",
    "fail",
    "html",
    "overloaded",
    "quota",
    "rate_limited",
    "say",
    "stall",
]
