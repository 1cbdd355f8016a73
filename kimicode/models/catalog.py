"""What is known about backends and models, as data: quirks, spellings, windows and prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from kimicode.core.message import ModelSpec
from kimicode.errors import ConfigError

DEFAULT_MODEL = "kimi-k2.6"
DEFAULT_BASE_URL = "https://api.moonshot.ai/v1"
K2_WINDOW = 262_144
SOURCE_SPELLING = "moonshot-v1-k2-6"
"""How some documents spell Moonshot's id of K2.6; tried once when the endpoint does not know the other."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of server and its quirks (source of each: the fact sheet on Kimi's API)."""

    name: str
    base_url: str = ""
    """Default endpoint, "" when the user has to say where it is."""
    model: str = DEFAULT_MODEL
    """How this backend spells K2.6."""
    hosts: tuple[str, ...] = ()
    """Host names (with ":port" where the host alone says nothing) by which it is recognised."""
    thinking: Literal["object", "template", "reasoning", "none"] = "none"
    """Where the switch goes: `thinking:{type}`, `chat_template_kwargs`, `reasoning:{enabled}`, or nowhere."""
    reasoning_in: tuple[str, ...] = ("reasoning_content", "reasoning", "reasoning_details")
    """Fields of a delta that may carry reasoning; the first that is there is read."""
    reasoning_out: tuple[str, ...] = ("reasoning_content",)
    """Fields under which reasoning is echoed."""
    needs_reasoning: bool = False
    """Every assistant message with calls must carry the field, if only as ""."""
    cap_field: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    sends_sampling: bool = False
    """Temperature and top_p are free and must be sent; where they are locked they must not be."""
    rewrites_ids: bool = False
    """The server renders tool call ids verbatim: they are sent as `functions.NAME:COUNTER`, K2's native form."""
    sends_cache_key: bool = False
    needs_done: bool = False
    """Only `data: [DONE]` says that a stream is whole; elsewhere a finish reason is enough."""
    key_variables: tuple[str, ...] = ("OPENAI_API_KEY", "KIMI_API_KEY")
    key_optional: bool = False
    """Usually served without a key."""
    free: bool = False
    """Runs on the user's own machines: nothing to pay per token."""


def _engine(name: str, out: tuple[str, ...]) -> Backend:
    return Backend(
        name=name,
        model="moonshotai/Kimi-K2.6",
        thinking="template",
        reasoning_out=out,
        needs_reasoning=True,
        sends_sampling=True,
        rewrites_ids=True,
        key_variables=("KIMI_API_KEY", "OPENAI_API_KEY"),
        key_optional=True,
        free=True,
    )


BACKENDS: dict[str, Backend] = {
    b.name: b
    for b in (
        Backend(
            name="moonshot",
            base_url=DEFAULT_BASE_URL,
            hosts=("api.moonshot.ai", "api.moonshot.cn"),
            thinking="object",
            needs_reasoning=True,
            cap_field="max_completion_tokens",
            sends_cache_key=True,
            needs_done=True,
            key_variables=("KIMI_API_KEY", "MOONSHOT_API_KEY"),
        ),
        Backend(
            name="kimi-code",
            base_url="https://api.kimi.com/coding/v1",
            model="kimi-for-coding",
            hosts=("api.kimi.com",),
            thinking="object",
            needs_reasoning=True,
            cap_field="max_completion_tokens",
            sends_cache_key=True,
            needs_done=True,
            key_variables=("KIMI_API_KEY",),
        ),
        Backend(
            name="openrouter",
            base_url="https://openrouter.ai/api/v1",
            model="moonshotai/kimi-k2.6",
            hosts=("openrouter.ai",),
            thinking="reasoning",
            reasoning_in=("reasoning", "reasoning_content", "reasoning_details"),
            reasoning_out=("reasoning",),
            needs_reasoning=True,
            rewrites_ids=True,
            key_variables=("OPENROUTER_API_KEY", "OPENAI_API_KEY"),
        ),
        # vLLM renamed the field it answers with and drops the old one when it comes in: both are sent.
        _engine("vllm", ("reasoning", "reasoning_content")),
        _engine("sglang", ("reasoning_content",)),
        _engine("ktransformers", ("reasoning_content",)),
        Backend(
            name="ollama",
            base_url="http://localhost:11434/v1",
            model="kimi-k2.6:cloud",
            hosts=("localhost:11434", "127.0.0.1:11434", "[::1]:11434"),
            reasoning_in=("reasoning", "reasoning_content"),
            reasoning_out=("reasoning",),
            rewrites_ids=True,
            key_variables=("OLLAMA_API_KEY", "KIMI_API_KEY", "OPENAI_API_KEY"),
            key_optional=True,
        ),
        Backend(name="generic"),
    )
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A model: USD per million tokens, where known, and its window."""

    id: str
    price_input: float = 0.0
    price_cached: float = 0.0
    price_output: float = 0.0
    window: int = K2_WINDOW
    wants_apply_patch: bool = False


ENTRIES: dict[str, Entry] = {
    e.id: e
    for e in (
        Entry("kimi-k2.6", 0.95, 0.16, 4.00),
        Entry("kimi-k2.5", 0.60, 0.10, 3.00),
        Entry("kimi-k3", 3.00, 0.30, 15.00),
    )
}
"""Successors are here to be priced when a user names them; they are never chosen instead of what was asked for."""

ALIASES: dict[str, str] = {
    "k2.6": "kimi-k2.6",
    "kimi-k2.6": "kimi-k2.6",
    SOURCE_SPELLING: "kimi-k2.6",
    "moonshotai/kimi-k2.6": "kimi-k2.6",
    "kimi-k2.6:cloud": "kimi-k2.6",
    "kimi-for-coding": "kimi-k2.6",
}
"""Spellings in lower case -> id in ENTRIES."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model on a backend at an address: all that a client has to know besides the key."""

    spec: ModelSpec
    backend: Backend
    base_url: str

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc.rpartition("@")[2]


def resolve(model: str = DEFAULT_MODEL, base_url: str = "", *, backend: str = "", window: int = 0) -> Target:
    """The catalog's entry for a model name at a base URL.

    `base_url` "": the backend's own address. `backend` "": recognised from host and spelling. `window` in
    tokens overrides the catalog (a server started with a smaller --max-model-len). An unknown model gets
    K2's window and no price. Raises ConfigError for an unknown backend or an address that is none.
    """
    model = model.strip() or DEFAULT_MODEL
    url = _check_url(base_url) if base_url else ""
    kind = _named(backend) if backend else recognise(model, url)
    if url == DEFAULT_BASE_URL and kind.base_url != url:
        # A backend was named and the address left at its default: its own is meant.
        url = ""
    if not url and not kind.base_url:
        raise ConfigError(
            f"The backend {kind.name} has no address of its own.", hint="Say where it runs: --base-url URL"
        )
    entry = ENTRIES.get(ALIASES.get(model.lower(), model.lower())) or Entry(model)
    spec = ModelSpec(
        id=spell(model, kind),
        backend=kind.name,
        context_window=window or entry.window,
        price_input=0.0 if kind.free else entry.price_input,
        price_cached=0.0 if kind.free else entry.price_cached,
        price_output=0.0 if kind.free else entry.price_output,
        wants_apply_patch=entry.wants_apply_patch,
    )
    return Target(spec=spec, backend=kind, base_url=url or kind.base_url)


def recognise(model: str, base_url: str) -> Backend:
    """The backend behind an address.

    An unknown host is judged by the spelling: `kimi-k2.6` is what Moonshot's own API calls the model (a proxy
    before it keeps its rules), `moonshotai/Kimi-K2.6` is the name of the weights, so an engine serves them.
    """
    if not base_url:
        return BACKENDS["moonshot"]
    netloc = urlsplit(base_url).netloc.rpartition("@")[2].lower()
    host = urlsplit(base_url).hostname or ""
    for backend in BACKENDS.values():
        if netloc in backend.hosts or host in backend.hosts:
            return backend
    if (
        "/" not in model
        and ":" not in model
        and (model.lower() in ALIASES or model.lower().startswith("kimi-"))
    ):
        # What stands in between may leave out the end mark.
        return replace(BACKENDS["moonshot"], needs_done=False)
    return BACKENDS["vllm" if model.startswith("moonshotai/Kimi-") else "generic"]


def spell(model: str, backend: Backend) -> str:
    """The id to send first. On Moonshot and on engines a known spelling goes as the user typed it."""
    known = ALIASES.get(model.lower()) == DEFAULT_MODEL
    if not known:
        return model
    typed = {
        "moonshot": (DEFAULT_MODEL, SOURCE_SPELLING),
        "kimi-code": ("kimi-for-coding",),
        "openrouter": ("moonshotai/kimi-k2.6",),
        "ollama": ("kimi-k2.6:cloud", DEFAULT_MODEL),
    }.get(backend.name)
    if typed is None:
        return backend.model if model.lower() == "k2.6" else model
    return model.lower() if model.lower() in typed else backend.model


def other_spelling(model: str, backend: Backend) -> str:
    """The id to try once after a 404, "" when there is no other."""
    if ALIASES.get(model.lower()) != DEFAULT_MODEL:
        return ""
    if backend.name == "moonshot":
        return SOURCE_SPELLING if model == DEFAULT_MODEL else DEFAULT_MODEL
    return backend.model if model != backend.model else DEFAULT_MODEL


def is_moonshot(base_url: str) -> bool:
    """Whether the address is one of Moonshot's own platforms (open platform or Kimi Code)."""
    host = urlsplit(base_url).hostname or ""
    return host in BACKENDS["moonshot"].hosts + BACKENDS["kimi-code"].hosts


def is_local(base_url: str) -> bool:
    """Whether the address is this machine or a private one, where servers usually want no key."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def elsewhere(backend: Backend) -> tuple[str, ...]:
    """Command lines with which K2.6 is asked for on other backends than this one."""
    others = (
        "kimicode fix … --base-url https://openrouter.ai/api/v1 --model moonshotai/kimi-k2.6   (OPENROUTER_API_KEY)",
        "kimicode fix … --base-url http://HOST:8000/v1 --model moonshotai/Kimi-K2.6   (your own vLLM or SGLang)",
        f"kimicode fix … --base-url {DEFAULT_BASE_URL} --model {DEFAULT_MODEL}   (MOONSHOT_API_KEY)",
    )
    return tuple(line for line in others if not backend.base_url or backend.base_url not in line)


def _named(name: str) -> Backend:
    if name in BACKENDS:
        return BACKENDS[name]
    raise ConfigError(f"There is no backend called {name!r}.", hint=f"Known: {', '.join(BACKENDS)}")


def _check_url(base_url: str) -> str:
    url = base_url.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{base_url!r} is not the address of an endpoint.",
            hint="It starts with http:// or https:// and usually ends with /v1, e.g. " + DEFAULT_BASE_URL,
        )
    for suffix in ("/chat/completions", "/models"):
        url = url.removesuffix(suffix)
    return url
