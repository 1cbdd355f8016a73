"""Names and addresses to backends, and keys from the environment."""

from __future__ import annotations

import pytest

from kimicode.core.message import Usage
from kimicode.errors import ConfigError, KeyMissing
from kimicode.models.catalog import BACKENDS, DEFAULT_BASE_URL, other_spelling, resolve
from kimicode.models.keys import KEY_VARIABLES, find_key

LOCAL = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("model", "url", "backend", "sent"),
    [
        ("", "", "moonshot", "kimi-k2.6"),
        ("k2.6", "", "moonshot", "kimi-k2.6"),
        ("Kimi-K2.6", "", "moonshot", "kimi-k2.6"),
        ("moonshotai/Kimi-K2.6", "", "moonshot", "kimi-k2.6"),
        ("moonshot-v1-k2-6", "", "moonshot", "moonshot-v1-k2-6"),
        ("kimi-k2.6", "https://api.moonshot.cn/v1/", "moonshot", "kimi-k2.6"),
        ("kimi-k2.6", "https://gateway.example/moonshot/v1", "moonshot", "kimi-k2.6"),
        ("k2.6", "https://api.kimi.com/coding/v1", "kimi-code", "kimi-for-coding"),
        ("kimi-k2.6", "https://openrouter.ai/api/v1", "openrouter", "moonshotai/kimi-k2.6"),
        ("moonshotai/Kimi-K2.6", LOCAL, "vllm", "moonshotai/Kimi-K2.6"),
        ("k2.6", "http://localhost:11434/v1", "ollama", "kimi-k2.6:cloud"),
        ("gpt-5.4", "https://api.openai.com/v1", "generic", "gpt-5.4"),
        ("kimi-k3", "", "moonshot", "kimi-k3"),
        ("kimi-k2.6", f"{LOCAL}/chat/completions", "moonshot", "kimi-k2.6"),
    ],
)
def test_resolve(model: str, url: str, backend: str, sent: str) -> None:
    target = resolve(model, url)
    assert (target.backend.name, target.spec.id, target.spec.backend) == (backend, sent, backend)
    assert target.base_url == (
        url.rstrip("/").removesuffix("/chat/completions") or "https://api.moonshot.ai/v1"
    )


def test_a_backend_can_be_named() -> None:
    target = resolve("kimi-k2.6", LOCAL, backend="sglang", window=32_768)
    assert (target.backend.name, target.spec.id, target.spec.context_window) == (
        "sglang",
        "kimi-k2.6",
        32_768,
    )
    assert target.host == "127.0.0.1:8000"
    assert resolve("k2.6", DEFAULT_BASE_URL, backend="openrouter").base_url == "https://openrouter.ai/api/v1"
    for url in ("", DEFAULT_BASE_URL):
        with pytest.raises(ConfigError, match="no address"):
            resolve("k2.6", url, backend="vllm")
    with pytest.raises(ConfigError, match="no backend called 'vlm'") as caught:
        resolve("k2.6", backend="vlm")
    assert "vllm" in caught.value.hint


@pytest.mark.parametrize("url", ["api.moonshot.ai/v1", "ftp://x/v1", "http://", "nonsense"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="not the address"):
        resolve("k2.6", url)


def test_prices() -> None:
    spec = resolve().spec
    assert spec.cost(
        Usage(input=1_000_000, cached=500_000, output=100_000, reasoning=50_000)
    ) == pytest.approx(0.475 + 0.08 + 0.4)
    assert resolve("moonshotai/Kimi-K2.6", LOCAL).spec.cost(Usage(input=10, output=10)) == 0.0
    assert resolve("kimi-k3").spec.price_output == 15.0


@pytest.mark.parametrize(
    ("backend", "first", "second"),
    [
        ("moonshot", "kimi-k2.6", "moonshot-v1-k2-6"),
        ("moonshot", "moonshot-v1-k2-6", "kimi-k2.6"),
        ("vllm", "moonshotai/Kimi-K2.6", "kimi-k2.6"),
        ("vllm", "kimi-k2.6", "moonshotai/Kimi-K2.6"),
        ("moonshot", "kimi-k3", ""),
    ],
)
def test_other_spelling(backend: str, first: str, second: str) -> None:
    assert other_spelling(first, BACKENDS[backend]) == second


ALL = {name: f"key-of-{name}" for name in KEY_VARIABLES}


@pytest.mark.parametrize(
    ("environ", "url", "model", "source"),
    [
        (ALL, "", "k2.6", "KIMI_API_KEY"),
        ({"MOONSHOT_API_KEY": "a"}, "", "k2.6", "MOONSHOT_API_KEY"),
        ({"KIMI_API_KEY": "  ", "MOONSHOT_API_KEY": "a"}, "", "k2.6", "MOONSHOT_API_KEY"),
        (ALL, "https://api.openai.com/v1", "gpt-5.4", "OPENAI_API_KEY"),
        (ALL, "https://openrouter.ai/api/v1", "k2.6", "OPENROUTER_API_KEY"),
        ({"OPENAI_API_KEY": "a"}, "https://gateway.example/v1", "kimi-k2.6", "OPENAI_API_KEY"),
        (ALL, "https://gateway.example/v1", "kimi-k2.6", "KIMI_API_KEY"),
        ({}, LOCAL, "moonshotai/Kimi-K2.6", ""),
        ({}, LOCAL, "kimi-k2.6", ""),
    ],
)
def test_which_key(environ: dict[str, str], url: str, model: str, source: str) -> None:
    key = find_key(environ, resolve(model, url))
    assert key.source == source
    assert key.value == (environ[source] if source else "none")
    assert {"KIMI_API_KEY", "MOONSHOT_API_KEY", "OPENAI_API_KEY"} <= set(key.remove)
    assert key.value not in repr(key) or not source


@pytest.mark.parametrize(
    ("environ", "url", "model"),
    [
        ({}, "", "k2.6"),
        ({"OPENAI_API_KEY": "a"}, "", "k2.6"),
        ({"OPENAI_API_KEY": "a"}, "https://api.moonshot.cn/v1", "k2.6"),
        ({"OPENAI_API_KEY": "a"}, "https://api.kimi.com/coding/v1", "k2.6"),
        ({"MOONSHOT_API_KEY": "a"}, "https://openrouter.ai/api/v1", "k2.6"),
        ({"MOONSHOT_API_KEY": "a"}, "https://api.openai.com/v1", "gpt-5.4"),
    ],
)
def test_no_key(environ: dict[str, str], url: str, model: str) -> None:
    target = resolve(model, url)
    with pytest.raises(KeyMissing, match=r"No API key for") as caught:
        find_key(environ, target)
    assert caught.value.exit_code == 3 and target.host in str(caught.value)
    for way in ("export ", "configuration", "kimicode demo"):
        assert way in caught.value.hint


def test_a_key_from_the_configuration_wins() -> None:
    assert find_key(ALL, resolve(), configured=" sk-1 ").source == "configuration"


@pytest.mark.parametrize("value", ["sk 1", "Bearer sk-1", "sk-\n1", "schlüssel"])
def test_what_cannot_be_a_key(value: str) -> None:
    with pytest.raises(ConfigError, match="KIMI_API_KEY") as caught:
        find_key({"KIMI_API_KEY": value}, resolve())
    assert value not in str(caught.value)
