"""Runs the server by hand: python -m tests.fakes.kimi_server --script FILE --port N."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.fakes.kimi_server.rules import Rules
from tests.fakes.kimi_server.script import Script, say
from tests.fakes.kimi_server.server import KimiServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.kimi_server", description=__doc__)
    parser.add_argument("--script", type=Path, help="JSON list of answers and faults (script.py says how)")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", action="append", help="an id that is served (repeatable)")
    parser.add_argument("--window", type=int, default=262_144)
    parser.add_argument("--lenient", action="store_true", help="check nothing")
    options = parser.parse_args()
    script = Script.load(options.script) if options.script else Script(function=lambda request: say("hello"))
    rules = Rules(models=tuple(options.model or ("kimi-k2.6",)), window=options.window)
    server = KimiServer(script, rules=rules, port=options.port, strict=not options.lenient).start()
    print(server.base_url, flush=True)
    shown = 0
    try:
        while True:
            time.sleep(0.2)
            for exchange in server.exchanges[shown:]:
                shown += 1
                print(
                    f"{exchange.number:4} {exchange.method} {exchange.path} {exchange.status} {exchange.refused}",
                    flush=True,
                )
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
