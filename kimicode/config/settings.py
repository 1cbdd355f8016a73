"""The settings as values, with their defaults, units and limits."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from kimicode.core.message import Frozen
from kimicode.core.plan import Limits

DEFAULT_BASE_URL = "https://api.moonshot.ai/v1"
DEFAULT_MODEL = "kimi-k2.6"

_number = r"(\d+(?:\.\d+)?)"
_duration = re.compile(rf"(?:{_number}h)?(?:{_number}m)?(?:{_number}s)?|{_number}", re.ASCII)
_branch_prefix = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*[/-]?")
_host = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*")


def parse_duration(value: Any) -> float:
    """Seconds from a number or from "90", "90s", "15m", "2h", "1h30m". Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (m := _duration.fullmatch(value.strip().lower())) and any(m.groups()):
        hours, minutes, rest, bare = (float(g or 0) for g in m.groups())
        seconds = hours * 3600 + minutes * 60 + rest + bare
    else:
        raise ValueError("expected seconds or a duration such as 90, 90s, 15m, 2h or 1h30m")
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError("must be more than 0 seconds")
    return seconds


def _none(value: Any) -> Any:
    """TOML has no null: "none" takes a limit away."""
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


def _optional_duration(value: Any) -> Any:
    value = _none(value)
    return None if value is None else parse_duration(value)


def _money(value: float | None) -> float | None:
    if value is not None and (not math.isfinite(value) or value <= 0):
        raise ValueError("must be an amount of USD above 0, such as 2.50")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address such as {DEFAULT_BASE_URL}")
    if parts.username or parts.password:
        raise ValueError("must not hold a user name or a password: keys come from KIMI_API_KEY")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number up to 65535") from None
    return value.rstrip("/")


def _commands(value: Any) -> Any:
    """A single command may stand alone; "none" is the empty list."""
    if isinstance(value, str):
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        value = [] if lines == ["none"] else lines
        if not value and not lines:
            raise ValueError('must not be empty; "none" switches checks off')
    if isinstance(value, list | tuple):
        if list(value) == ["none"]:
            return ()
        if any(isinstance(v, str) and not v.strip() for v in value):
            raise ValueError("holds an empty command")
        if "none" in value:
            raise ValueError('"none" does not go together with commands')
    return value


def _strings(value: Any) -> Any:
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value


def _prefix(value: str) -> str:
    if not _branch_prefix.fullmatch(value) or ".." in value or ".lock/" in value:
        raise ValueError("must begin a valid branch name, such as kimicode/")
    return value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    for host in value:
        if not _host.fullmatch(host) or len(host) > 253:
            raise ValueError(f"{host!r} is not a host name in lower case without port or path")
    return value


def _one_line(value: str) -> str:
    if any(ord(c) < 32 for c in value):
        raise ValueError("must not hold control characters")
    return value


def _image(value: str) -> str:
    if value and (value.startswith("-") or any(c.isspace() or ord(c) < 32 for c in value)):
        raise ValueError("expected the name of an image, such as python:3.12-slim")
    return value


def _setup(value: str) -> str:
    if not value.strip():
        raise ValueError('must not be empty; expected "ask", "auto", "none" or a command')
    return value.strip()


Line = Annotated[str, AfterValidator(_one_line)]
Duration = Annotated[float, BeforeValidator(parse_duration)]
Commands = Annotated[tuple[str, ...], BeforeValidator(_commands)]
Strings = Annotated[tuple[Line, ...], BeforeValidator(_strings)]


class ModelSettings(Frozen):
    """Which model answers, and where."""

    id: Annotated[Line, Field(min_length=1)] = DEFAULT_MODEL
    base_url: Annotated[str, AfterValidator(_url)] = DEFAULT_BASE_URL
    """Endpoint of Chat Completions, without the last part /chat/completions."""
    thinking: bool = True
    backend: Annotated[str, AfterValidator(_one_line)] = ""
    """Kind of server (kimicode models lists them); "" recognises it by address and model id."""
    context_window: Annotated[int, Field(ge=8192)] | None = None
    """Tokens; None: what the catalog says. For servers started with a smaller window."""


class SandboxSettings(Frozen):
    """Where the model's commands run."""

    backend: Literal["auto", "docker", "bwrap", "host"] = "auto"
    """"auto" takes Docker where it works, else bubblewrap, and never the host."""
    image: Annotated[str, AfterValidator(_image)] = ""
    """Docker image; "" is kimicode's own."""


class LimitSettings(Frozen):
    """When a run stops by itself."""

    max_steps: Annotated[int, Field(ge=1)] = 100
    """Answers of the model."""
    max_cost: Annotated[float | None, BeforeValidator(_none), AfterValidator(_money)] = 5.0
    """USD; "none" takes the limit away."""
    max_time: Annotated[float | None, BeforeValidator(_optional_duration)] = 3600.0
    """Seconds, or text such as "15m"; "none" takes the limit away."""
    max_tokens: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_none)] = None
    """Input and output together."""

    def limits(self) -> Limits:
        return Limits(
            max_steps=self.max_steps,
            max_cost=self.max_cost,
            max_time=self.max_time,
            max_tokens=self.max_tokens,
        )


class CheckSettings(Frozen):
    """How the project is checked."""

    commands: Commands | None = None
    """Shell lines. None: detected in the repository. Empty ("none"): no checks."""
    timeout_s: Duration = 1800.0
    """For one run of one command; stands beside max_time, not inside it."""


class SetupSettings(Frozen):
    """The command that installs what the project needs, before the model acts."""

    command: Annotated[str, AfterValidator(_setup)] = "ask"
    """"ask": the detected command after a yes on a terminal; "auto": without asking; "none"; or a command."""
    timeout_s: Duration = 1800.0


class NetworkSettings(Frozen):
    """What the model's commands may reach. Never the open net."""

    mode: Literal["none", "allowlist"] = "none"
    allow: Annotated[tuple[str, ...], BeforeValidator(_strings), AfterValidator(_hosts)] = ()
    """Exact host names for mode "allowlist"."""


class RepoSettings(Frozen):
    """How the result is named."""

    branch_prefix: Annotated[str, AfterValidator(_prefix)] = "kimicode/"


class OutputSettings(Frozen):
    """What is printed."""

    format: Literal["text", "json", "stream-json"] = "text"
    color: Literal["auto", "never"] = "auto"
    heartbeat_s: Duration = 30.0
    """Seconds of silence after which a plain (not a terminal) run says that it is alive."""
    verbose: bool = False
    """Shows the model's reasoning, and tracebacks."""


class ProposedSettings(Frozen):
    """What the repository proposes. Counts as detected: never run without the consent a detected command needs."""

    setup: Annotated[str, AfterValidator(_one_line)] = ""
    checks: Commands | None = None
    source: str = ""
    """Repository-relative file that proposes it."""


class Config(Frozen):
    """All settings. Holds no key: keys are looked up where they are used (models/keys.py)."""

    model: ModelSettings = ModelSettings()
    sandbox: SandboxSettings = SandboxSettings()
    limits: LimitSettings = LimitSettings()
    checks: CheckSettings = CheckSettings()
    setup: SetupSettings = SetupSettings()
    network: NetworkSettings = NetworkSettings()
    repo: RepoSettings = RepoSettings()
    output: OutputSettings = OutputSettings()
    proposed: ProposedSettings = ProposedSettings()


def known_keys() -> tuple[str, ...]:
    """All settings by dotted key, in the order of their sections."""
    return tuple(
        f"{section}.{name}"
        for section, field in Config.model_fields.items()
        for name in _section(field.annotation).model_fields
    )


def settable_keys() -> tuple[str, ...]:
    """What the user's file may set: all but what only a repository proposes."""
    return tuple(key for key in known_keys() if not key.startswith("proposed."))


def _section(annotation: Any) -> type[BaseModel]:
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TypeError(f"every field of Config is a section, not {annotation}")
    return annotation
