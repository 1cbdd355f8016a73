"""What all parsers share: bounds, duplicates, frames, and signs of a missing network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kimicode.core.checks import TestOutcome, TestResult

MAX_TESTS = 200_000
MAX_ID = 1_000
MAX_LINE = 2_000
MAX_DETAIL = 32_768
"""Characters kept of one failure's text while it is parsed."""
MESSAGE_LINES = 40
MESSAGE_CHARS = 4_000

_ANSI = re.compile(r"\x1b(?:\[[0-9;:?]{0,40}[ -/]?[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_SEVERITY: dict[TestOutcome, int] = {
    "error": 5, "failed": 4, "skipped": 3, "xfailed": 2, "xpassed": 1, "passed": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where the command ran, so that paths in its output can be made repository-relative."""

    root: str = ""
    """Absolute path of the checkout as the command saw it."""
    cwd: str = ""
    """Working directory relative to root ("cd sub && …")."""

    def relative(self, path: str) -> str:
        """`path` relative to the checkout, or "" when it is outside or belongs to an installed package."""
        path = path.strip().removeprefix("file://")
        if self.root and path.startswith(self.root.rstrip("/") + "/"):
            path = path[len(self.root.rstrip("/")) + 1 :]
        elif path.startswith(("/", "<", "..", "~")) or (len(path) > 1 and path[1] == ":"):
            return ""
        else:
            path = join(self.cwd, path)
        parts = path.split("/")
        if any(part in _FOREIGN for part in parts) or any(part.startswith("node:") for part in parts):
            return ""
        return path


_FOREIGN = frozenset(
    {
        "site-packages",
        "dist-packages",
        "node_modules",
        ".venv",
        "venv",
        ".tox",
        ".nox",
        "rustc",
        ".cargo",
        "..",
    }
)


def join(folder: str, path: str) -> str:
    """`path` beneath `folder`, both with "/", without "." parts."""
    while path.startswith("./"):
        path = path[2:]
    return f"{folder.strip('/')}/{path}" if folder.strip("/") and path else path


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parser found."""

    tests: tuple[TestResult, ...] = ()
    complete: bool = True
    """False when the runner was too quiet: it ran tests that it did not name, so vanishing means nothing."""
    running: str = ""
    """The test that had started and not ended."""
    text: str = ""
    """Readable output where what was printed is not (`go test -json`)."""


@dataclass(slots=True)
class Results:
    """Collects results within bounds; of two results with one id the worse one stays."""

    place: Place = field(default_factory=Place)
    _tests: dict[str, TestResult] = field(default_factory=dict)

    def add(
        self, id: str, outcome: TestOutcome, *, file: str = "", detail: str = "", message: str = ""
    ) -> None:
        """`detail` is the whole text of a failure: message, frame and needs_network are read from it."""
        id = stable_id(id)
        if not id:
            return
        known = self._tests.get(id)
        if known is not None and _SEVERITY[known.outcome] >= _SEVERITY[outcome]:
            return
        if known is None and len(self._tests) >= MAX_TESTS:
            return
        if not detail and not message:
            self._tests[id] = TestResult(id=id, outcome=outcome, file=clean(file)[:MAX_ID])
            return
        detail, message = clean(detail[:MAX_DETAIL]), clean(message[:MAX_DETAIL])
        bad = outcome in ("failed", "error")
        self._tests[id] = TestResult(
            id=id,
            outcome=outcome,
            file=clean(file)[:MAX_ID],
            message=shorten(message),
            frame=innermost(detail, self.place)[:MAX_ID] if bad else "",
            needs_network=bad and shows_network(f"{detail}\n{message}"),
        )

    def __contains__(self, id: str) -> bool:
        return stable_id(id) in self._tests

    def __len__(self) -> int:
        return len(self._tests)

    def tests(self) -> tuple[TestResult, ...]:
        return tuple(self._tests.values())


def stable_id(id: str) -> str:
    """An id without what changes from run to run: addresses of objects, line ends, escapes."""
    id = clean(id[: MAX_ID * 2]).replace("\n", " ").replace("\r", " ").strip()
    return (_ADDRESS.sub("0x", id) if "0x" in id else id)[:MAX_ID].rstrip()


def clean(text: str) -> str:
    """Text that every encoder accepts: no escapes, no lone surrogates, no NUL."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\x00", "")


def lines_of(text: str) -> Iterator[str]:
    """Lines without escapes and line ends, each at most MAX_LINE long, so that patterns stay linear."""
    for line in text.split("\n"):
        if len(line) > MAX_LINE:
            line = line[:MAX_LINE]
        if "\x1b" in line:
            line = _ANSI.sub("", line)
        yield line.rstrip("\r")


def shorten(text: str) -> str:
    """A message within MESSAGE_LINES and MESSAGE_CHARS, its end cut."""
    lines = [line.rstrip()[:400] for line in text.strip("\n").split("\n")]
    if len(lines) > MESSAGE_LINES:
        lines = [*lines[: MESSAGE_LINES - 1], f"... {len(lines) - MESSAGE_LINES + 1} more lines"]
    return "\n".join(lines)[:MESSAGE_CHARS]


_FRAMES = (
    re.compile(
        r'^\s{0,8}File "(?P<path>[^"\n]{1,500})", line (?P<line>\d{1,9})(?:, in (?P<name>.{1,200}))?$'
    ),
    re.compile(r"^(?P<path>[^\s:][^:\n]{0,500}):(?P<line>\d{1,9}): in (?P<name>.{1,200})$"),
    re.compile(r"^(?P<path>[^\s:][^:\n]{0,500}\.py):(?P<line>\d{1,9}): [A-Za-z_.]{1,200}$"),
    re.compile(
        r"^thread '[^']{0,300}'.{0,40} panicked at (?:.{0,600}', )?(?P<path>[^:\s']{1,500}):(?P<line>\d{1,9}):\d+"
    ),
    re.compile(r"^\s{1,40}(?P<path>[\w./-]{1,300}\.go):(?P<line>\d{1,9})[: ]"),
)
_JS_FRAMES = (
    re.compile(
        r"^\s{0,20}at (?:async )?(?P<name>[^()\n]{1,200}) \((?P<path>[^():\n]{1,500}):(?P<line>\d{1,9}):\d+\)"
    ),
    re.compile(r"^\s{0,20}at (?P<path>[^():\s]{1,500}):(?P<line>\d{1,9}):\d+"),
    re.compile(r"^\s{0,20}❯ (?:(?P<name>[^\s]{1,200}) )?(?P<path>[^():\s]{1,500}):(?P<line>\d{1,9}):\d+"),
)


def innermost(text: str, place: Place) -> str:
    """The innermost frame inside the project: "src/a.py:12 in f", or "" when the text has none.

    Python names the innermost frame last, JavaScript first.
    """
    found = ""
    for line in lines_of(text):
        frame = _frame(line, _FRAMES, place)
        if frame:
            found = frame
        elif not found:
            frame = _frame(line, _JS_FRAMES, place)
            if frame:
                return frame
    return found


def _frame(line: str, patterns: Iterable[re.Pattern[str]], place: Place) -> str:
    for pattern in patterns:
        match = pattern.match(line)
        if match is None:
            continue
        path = place.relative(match["path"])
        if not path:
            return ""
        name = (match.groupdict().get("name") or "").strip()
        return f"{path}:{match['line']}" + (f" in {name}" if name and not name.startswith("<") else "")
    return ""


_RESOLUTION = re.compile(
    r"Temporary failure in name resolution|Name or service not known|nodename nor servname provided"
    r"|No address associated with hostname|getaddrinfo (?:ENOTFOUND|EAI_AGAIN|failed)|NameResolutionError"
    r"|Failed to resolve '|Could not resolve host|failed to lookup address information"
    r"|dial (?:tcp|udp): lookup |socket\.gaierror|no such host|Network is unreachable|ENETUNREACH|EAI_AGAIN"
)
_REFUSED = re.compile(r"Connection refused|ECONNREFUSED|connection refused|ConnectionRefusedError")
_HOST = re.compile(
    r"(?:ECONNREFUSED |dial tcp |connect to (?:host )?|host='|://|https?://)(\[[0-9a-fA-F:]{2,45}\]|[\w.-]{1,253})"
)
_LOOPBACK = re.compile(r"^(?:localhost|.*\.localhost|127\..*|\[?::1\]?|0\.0\.0\.0|\[?::\]?)$")


def shows_network(text: str) -> bool:
    """Whether a failure comes from a missing network: name resolution, no route, or a refused connection.

    A refused connection counts only when the text names a host outside loopback: a test whose own server
    died is an ordinary failure.
    """
    if _RESOLUTION.search(text):
        return True
    if not _REFUSED.search(text):
        return False
    return any(not _LOOPBACK.match(host) for host in _HOST.findall(text))
