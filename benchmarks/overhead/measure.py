"""Runs a contender against the endpoint and turns what both saw into figures."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Session:
    """Figures of one run of one contender."""

    first_request_s: float
    gaps_ms: list[float]
    cpu_s: float
    rss_mib: float
    request_bytes: int
    prefix_share: float
    connections: int
    complete: bool

    def step(self, number: int) -> float:
        """Milliseconds between answer and next request around a step: the median of the nine gaps there."""
        near = self.gaps_ms[max(0, number - 5) : number + 4]
        return statistics.median(near) if near else float("nan")


@contextmanager
def endpoint(steps: int) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overhead.endpoint", str(steps)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def run(argv: Sequence[str], steps: int, env: Mapping[str, str] | None = None) -> Session:
    """One session of `steps` tool calls. `{port}` in argv is replaced."""
    with endpoint(steps) as port:
        full = [a.replace("{port}", str(port)) for a in argv]
        begin = time.monotonic()
        process = subprocess.Popen(
            full,
            env=os.environ | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        stats = fetch(port)
    requests = stats["requests"]
    if not requests:
        raise SystemExit(f"{full[0]} made no request (status {status}):\n{said.decode()[-2000:]}")
    bodies = [canonical(r["body"]) for r in requests]
    shares = [common(a, b) / len(a) for a, b in itertools.pairwise(bodies)]
    gaps = [(b["arrived"] - a["answered"]) * 1000 for a, b in itertools.pairwise(requests)]
    return Session(
        first_request_s=requests[0]["arrived"] - begin,
        gaps_ms=gaps,
        cpu_s=usage.ru_utime + usage.ru_stime,
        rss_mib=usage.ru_maxrss / 1024,
        request_bytes=len(requests[-1]["body"]),
        prefix_share=min(shares, default=1.0),
        connections=stats["connections"],
        complete=len(requests) == steps + 1,
    )


def fetch(port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/stats")
    return dict(json.loads(connection.getresponse().read()))


def canonical(body: str) -> str:
    """What a prefix cache sees: tools, then messages, one after the other."""
    data = json.loads(body)
    parts = [json.dumps(data.get("tools"), sort_keys=True)]
    parts += [json.dumps(m, sort_keys=True) for m in data["messages"]]
    return "\n".join(parts)


def common(a: str, b: str) -> int:
    """Characters that two texts share at their beginning."""
    if b.startswith(a):
        return len(a)
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def median_of(sessions: Sequence[Session], name: str) -> float:
    return statistics.median(getattr(s, name) for s in sessions)


def wall(argv: Sequence[str]) -> float:
    begin = time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - begin
