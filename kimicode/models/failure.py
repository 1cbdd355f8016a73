"""From what an endpoint answers instead of a reply to an error that says what to do. Judged by type, then by text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from kimicode.errors import (
    AuthError,
    ConfigError,
    ContextOverflow,
    KimicodeError,
    ModelError,
    QuotaExceeded,
    UnknownModel,
)

RETRIED = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))
PLATFORMS = (
    "Keys of api.moonshot.ai, api.moonshot.cn and kimi.com/coding are not interchangeable: "
    "check which platform the key is from, and set --base-url to it."
)
_BALANCE = "Add balance at https://platform.moonshot.ai/console (or .cn, where the key is from), then: kimicode resume"

_overflow = re.compile(
    r"exceeded model token limit|token length too long|prompt tokens \+ max_tokens exceeds|maximum context length"
    r"|context length|context window|total message size \d+ exceeds",
    re.I,
)
_no_balance = re.compile(
    r"exceeded.*quota|insufficient balance|check your account balance|recharge|suspended", re.I
)
_unknown_model = re.compile(
    r"not found the model|model.{0,80}(not found|does not exist|not exist)|no such model", re.I
)
_limits = {
    "TPD": "tokens per day",
    "TPM": "tokens per minute",
    "RPM": "requests per minute",
    "concurrency": "concurrency",
}


def status_error(
    status: int, body: bytes, headers: Mapping[str, str], *, host: str, model: str
) -> KimicodeError:
    """The error for an answer with a status that is not 200. `body` may be JSON, HTML or nothing."""
    kind, text = _read_body(body)
    wait = retry_after(headers)
    if 300 <= status < 400:
        return ConfigError(
            f"{host} redirects to {headers.get('location', 'another address')}, which is not followed: "
            "the key would travel there.",
            hint="Give the final address with --base-url.",
        )
    if status == 404 and kind != "resource_not_found_error" and not _unknown_model.search(text):
        return ConfigError(
            f"{host} has no chat completions at this address (HTTP 404). {text}".strip(),
            hint="The base URL usually ends with /v1, e.g. https://api.moonshot.ai/v1",
        )
    return judge(kind, text, status=status, wait=wait, host=host, model=model)


def stream_error(error: Any) -> KimicodeError:
    """The error for an `error` object inside a stream that began well. Without a known type it may be tried again."""
    kind, text = _unwrap(error)
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) else 0
    return judge(kind, text, status=status, wait=None, host="The endpoint", model="", inside=True)


def judge(
    kind: str, text: str, *, status: int, wait: float | None, host: str, model: str, inside: bool = False
) -> KimicodeError:
    """The one table: type first, then text, then status."""
    said = f": {text}" if text else ""
    if kind == "exceeded_current_quota_error" or (status in (402, 429) and _no_balance.search(text)):
        return QuotaExceeded(
            f"No balance is left at {host}{said}", hint=_BALANCE, kind=kind or "quota", status=status
        )
    if kind in ("invalid_authentication_error", "incorrect_api_key_error") or status == 401:
        return AuthError(f"{host} refuses the key (401{said}).", hint=PLATFORMS)
    if kind == "permission_denied_error" or status in (402, 403):
        return AuthError(f"{host} does not permit this key to ask (HTTP {status}{said}).", hint=PLATFORMS)
    if kind == "resource_not_found_error" or status == 404:
        return UnknownModel(f"{host} does not serve {model or 'the model'}{said}")
    if kind == "content_filter":
        return ModelError(
            f"The provider's content filter refused the request{said}",
            hint="Asking again does not help; say the task in other words.",
            kind=kind,
            status=status,
        )
    if status in (0, 400, 413, 422) and _overflow.search(text):
        return ContextOverflow(
            f"The request is longer than the model takes{said}", kind="context", status=status
        )
    if kind == "rate_limit_reached_error" or (status == 429 and kind != "engine_overloaded_error"):
        return _rate_limit(kind or "rate_limit_reached_error", text, status, wait)
    if kind == "engine_overloaded_error" or status in (503, 529):
        return ModelError(
            f"{host} is overloaded{said}",
            hint="Try again later: kimicode resume",
            kind=kind or "server_unavailable",
            status=status,
            retryable=True,
            wait_s=wait,
        )
    retryable = (
        status in RETRIED
        or kind in ("server_error", "unexpected_output")
        or (inside and status < 400 and kind != "invalid_request_error")
    )
    return ModelError(
        f"{host} answered {f'HTTP {status}' if status else 'with an error'}{said}",
        hint="Try again later: kimicode resume" if retryable else "",
        kind=kind or ("server_error" if retryable else "invalid_request_error"),
        status=status,
        retryable=retryable,
        wait_s=wait,
    )


def _rate_limit(kind: str, text: str, status: int, wait: float | None) -> ModelError:
    which = next(
        (name for word, name in _limits.items() if re.search(rf"\b{word}\b", text, re.I)), "rate limit"
    )
    daily = which == "tokens per day"
    return ModelError(
        f"{which}: {text}" if text else which,
        hint="The day's tokens are used up. Tomorrow: kimicode resume"
        if daily
        else "Try again later: kimicode resume",
        kind=kind,
        status=status,
        retryable=not daily,
        wait_s=wait,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date measured against its own clock."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _read_body(body: bytes) -> tuple[str, str]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return "", _plain(body)
    if isinstance(parsed, dict):
        return _unwrap(parsed.get("error") or parsed)
    return "", _plain(body)


def _unwrap(error: Any) -> tuple[str, str]:
    """Type and message; OpenRouter hides the provider's own error as text in `metadata.raw`."""
    if not isinstance(error, dict):
        return "", str(error)[:500]
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
        kind, text = _read_body(metadata["raw"].encode())
        if kind or text:
            return kind, text
    message = error.get("message") or error.get("detail") or error.get("msg") or ""
    return str(error.get("type") or ""), str(message)[:500]


def _plain(body: bytes) -> str:
    """A few words of a body that is no JSON: gateways answer in HTML."""
    text = body[:20_000].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style).*?</\1>", " ", text)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).strip()[:200]
