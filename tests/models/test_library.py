"""The client library, imported without the types that a raw stream does not need."""

from __future__ import annotations

import json
import subprocess
import sys

SHOW = """
import importlib, json, sys
{first}
import openai
before = [name for name in sys.modules if name.startswith("openai.types.")]
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from openai.types import *
client = openai.AsyncOpenAI(api_key="x")
names = {{}}
for name in ("openai.types", "openai.types.chat", "openai.types.responses"):
    module = importlib.import_module(name)
    getattr(module, "Response", None)
    names[name] = sorted(n for n, v in vars(module).items() if isinstance(v, type))
print(json.dumps([len(before), names, str(type(client.chat.completions)), CompletionUsage.__name__,
    [str(finder).split(" at ")[0] for finder in sys.meta_path]]))
"""


def show(first: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(first=first)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def test_the_types_that_are_put_off_are_there_when_they_are_asked_for() -> None:
    late = show("from kimicode.models.library import import_client; import_client(); import_client()")
    plain = show("")
    assert isinstance(late[0], int) and isinstance(plain[0], int)
    assert late[0] < 100 < plain[0]
    assert late[1:] == plain[1:]
