"""Secrets in names, contents and text."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.text.redact import SCAN_PREFILTER, Redactor, looks_secret, secret_content, secret_name

BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6"
PEM_LINES = "MIIEowIBAAKCAQEA7bqGhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n" * 3
SECRETS = {
    "GitHub token": "ghp_" + BODY[:36],
    "GitLab token": "glpat-" + BODY[:20],
    "AWS access key": "AKIA" + "QX7ZPL2MN5RTYWVU",
    "Google API key": "AIza" + (BODY * 2)[:35],
    "Slack token": "xoxb-" + "123456789012-" + BODY[:24],
    "Stripe key": "sk_live_" + BODY[:24],
    "Anthropic key": "sk-ant-api03-" + BODY,
    "OpenAI key": "sk-proj-" + BODY,
    "API key": "sk-" + BODY[:48],
    "npm token": "npm_" + BODY[:36],
    "PyPI token": "pypi-AgEI" + BODY,
    "Hugging Face token": "hf_" + BODY[:34],
    "SendGrid key": "SG." + BODY[:22] + "." + BODY[:43],
    "JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "private key": f"-----BEGIN PRIVATE KEY-----\n{PEM_LINES}-----END PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_known_shapes_are_found_and_removed(kind: str) -> None:
    import re

    secret = SECRETS[kind]
    text = f"key = '{secret}'\nnext line\n"
    assert secret_content(text.encode()) == kind
    assert re.search(SCAN_PREFILTER, text)
    redacted = Redactor().redact(text)
    assert secret not in redacted and redacted.endswith("\nnext line\n") and Redactor.MARK in redacted


def test_private_keys_in_their_disguises() -> None:
    body = PEM_LINES.replace("\n", "\\n")
    assert secret_content(json.dumps({"private_key": SECRETS["private key"]}).encode()) == "private key"
    assert secret_content(f'KEY = "-----BEGIN RSA PRIVATE KEY-----\\n{body}"'.encode()) == "private key"
    encrypted = (
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{PEM_LINES}"
    )
    assert secret_content(encrypted.encode()) == "private key"
    assert secret_content(SECRETS["private key"].replace("\n", "\r\n").encode()) == "private key"


@pytest.mark.parametrize(
    "text",
    [
        "if data.startswith('-----BEGIN RSA PRIVATE KEY-----'):",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\n" + PEM_LINES + "-----END CERTIFICATE-----",
        "export KIMI_API_KEY=sk-...", "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "AKIAIOSFODNN7EXAMPLE", "ghp_short",
        "class='sk-fading-circle-with-a-very-long-name-indeed'", "npm_config_registry", "hf_hub_download",
        "task-" + BODY,
        "sha256:" + "0123456789abcdef" * 4, "eyJ is how a token starts", "import sk-learn",
        "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ],
)  # fmt: skip
def test_talk_about_secrets_is_none(text: str) -> None:
    assert secret_content(text.encode()) is None
    assert Redactor().redact(text) == text


def test_names() -> None:
    for path in (".env", "a/.env", ".env.local", ".env.production", ".ENV", ".envrc", "id_rsa", "keys/ID_ED25519",
                 ".netrc", "x.p12", "a.keystore", ".aws/credentials", "home/.docker/config.json",
                 ".git-credentials"):  # fmt: skip
        assert secret_name(path), path
    for path in (".env.example", ".env.sample", "env", "env.py", "environment.yml", "id_rsa.pub", "credentials.py",
                 ".envoy", "config.json", ".env.test"):  # fmt: skip
        assert secret_name(path) is None, path
    assert (
        looks_secret("x.py", SECRETS["API key"].encode()) == "API key" and looks_secret("x.py", b"") is None
    )


def test_known_values_go_in_every_spelling() -> None:
    value = 'p@ss/w"ord+ 1\\x'
    redactor = Redactor([value, "short", ""])
    raw = value.encode()
    spellings = [
        value, quote(value, safe=""), json.dumps(value)[1:-1], raw.hex(), raw.hex().upper(), value[::-1],
        base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(),
        base64.b64encode(b"user:" + raw).decode(), base64.b64encode(b"ab" + raw + b"more").decode(),
    ]  # fmt: skip
    for spelling in spellings:
        text = f"before {spelling} after"
        redacted = redactor.redact(text)
        assert Redactor.MARK in redacted, spelling
        assert redacted.startswith("before ") and redacted.endswith(" after")
        assert redactor.contains_known(text.encode())
    assert redactor.redact("short words stay") == "short words stay"
    assert not redactor.contains_known(b"short")


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=8, max_size=40), st.binary(max_size=10), st.binary(max_size=10))
def test_base64_of_a_known_value_never_survives(key: bytes, before: bytes, after: bytes) -> None:
    value = key.hex()  # a value as keys are: printable, no white space
    encoded = base64.b64encode(before + value.encode() + after).decode()
    redacted = Redactor([value]).redact(encoded)
    inner = base64.b64encode(value.encode()).decode()[4:-4]
    assert inner not in redacted and Redactor.MARK in redacted


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor(["a-secret-value"])
    once = redactor.redact(text + "a-secret-value" + text)
    assert "a-secret-value" not in once and redactor.redact(once) == once


def test_hostile_text_takes_no_longer_than_other_text() -> None:
    """The pytest timeout is the limit: an unbounded repetition would take hours on these."""
    size = 400_000
    begin = "-----BEGIN PRIVATE KEY-----"
    pieces = (
        begin + " " * size, "eyJaaaaaaaaaaaa-" * (size // 16), "pypi-AgEI-" * (size // 10), "-----BEGIN " + "A " * size,
        "sk-ant-api03-" * (size // 13), (begin + "\nA: b\n") * (size // 32),
        begin + "A" * 15 + "\n" + ("A" * 15 + "\n") * (size // 16),
    )  # fmt: skip
    for piece in pieces:
        secret_content(piece.encode())
        Redactor(["some-known-value"]).redact(piece)
