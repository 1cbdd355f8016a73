"""Finds what looks like a secret in file names and contents, and takes known secrets out of text.

Sources of the token shapes: the vendors' published prefixes (GitHub, GitLab, Slack, Stripe, AWS, Google, npm,
PyPI, Hugging Face, OpenAI, Anthropic, Moonshot) and RFC 7468 (PEM), RFC 7519 (JWT). Shapes are narrow on purpose: a
file that is wrongly taken for a secret is missing from the agent's checkout, so a pattern must not match source code
that merely talks about tokens.
"""

from __future__ import annotations

import base64
import functools
import re
from collections import Counter
from collections.abc import Iterable
from math import log2
from typing import Final
from urllib.parse import quote, quote_plus

SCANNER_VERSION: Final = 2
"""Changes when `looks_secret` changes its mind about some file; results of another version are not reused."""

SCAN_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a file that are searched; secrets stand in small files."""

PLACEHOLDER_NAMES: Final = frozenset(
    {"example", "examples", "sample", "template", "tmpl", "dist", "defaults", "test", "tests", "ci"}
)
"""`.env.example` and its like hold no secret by convention; their content is still searched."""

_KEY_NAMES: Final = frozenset(
    {
        "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "identity",
        ".netrc", "_netrc", ".pgpass", ".htpasswd", ".git-credentials", ".dockercfg", ".pypirc",
        "credentials.json", "service-account.json", "service_account.json", "client_secret.json",
        ".vault-token", ".vault_pass", ".s3cfg", "kubeconfig", "secring.gpg", "master.key",
    }
)  # fmt: skip
_KEY_PATHS: Final = (
    ".aws/credentials",
    ".docker/config.json",
    ".kube/config",
    ".config/gcloud/application_default_credentials.json",
)
_KEY_SUFFIXES: Final = (".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".agekey")

_TOKENS: Final[tuple[tuple[str, str, str], ...]] = (
    ("GitHub token", "gh[pousr]_|github_pat_",
     r"\bgh[pousr]_[A-Za-z0-9]{36,251}\b|\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    ("GitLab token", "gl(?:pat|dt|rt|cbt|ptt|ft|soat)-", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_\-]{20,64}"),
    ("AWS access key", "AKIA|ASIA", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("Google API key", "AIza", r"\bAIza[A-Za-z0-9_\-]{35}(?![A-Za-z0-9_\-])"),
    ("Google OAuth secret", "GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_\-]{28}(?![A-Za-z0-9_\-])"),
    ("Slack token", "xox[abeoprs]-", r"\bxox[abeoprs]-[0-9A-Za-z\-]{20,250}"),
    ("Slack webhook", r"hooks\.slack\.com/",
     r"hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}"),
    ("Stripe key", "[sr]k_live_", r"\b[sr]k_live_[A-Za-z0-9]{20,250}\b"),
    ("Anthropic key", "sk-ant-", r"\bsk-ant-[a-z0-9]{4,8}-[A-Za-z0-9_\-]{40,200}"),
    ("OpenAI key", "sk-(?:proj|svcacct|admin)-", r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{40,250}"),
    ("API key", "sk-", r"\bsk-(?:kimi-)?[A-Za-z0-9]{32,128}\b"),
    ("npm token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI token", "pypi-AgEI", r"\bpypi-AgEI[A-Za-z0-9_\-]{50,500}"),
    ("Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{34,40}\b"),
    ("SendGrid key", r"SG\.", r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}(?![A-Za-z0-9_\-])"),
    ("DigitalOcean token", "do[opr]_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("JSON web token", "eyJ",
     r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{10,500}\.eyJ[A-Za-z0-9_\-]{10,8000}\.[A-Za-z0-9_\-]{20,2000}"),
)  # fmt: skip
"""Name, what every token of this kind contains, its shape. Repetitions are bounded: a file may be written so that an
unbounded one takes forever."""

_RANDOM: Final = frozenset({"API key", "AWS access key", "npm token", "Hugging Face token", "Google API key"})
"""Shapes so plain that the body must also look random: `sk-` + 32 letters may be a CSS class or a dummy."""

# A key has a body: the marker alone stands in every TLS library's source. Between the lines of a key stand line breaks,
# or in source code quotes, escapes and indentation.
_PEM: Final = (
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:\\[rn]|[\s\"'+,\\]){0,80}"
    r"(?:[A-Za-z\-]{1,40}: [^\n]{0,200}\n\s{0,4}){0,6}(?:[A-Za-z0-9+/=]{16,}(?:\\[rn]|[\s\"'+,\\]){0,80}){2,}"
)
_SHAPES: Final = (("private key", "PRIVATE KEY", _PEM), *_TOKENS)
_PATTERNS: Final = tuple((name, re.compile(shape.encode())) for name, _, shape in _SHAPES)
_TEXT_PATTERNS: Final = tuple((name, re.compile(shape)) for name, _, shape in _SHAPES)

SCAN_PREFILTER: Final = "|".join(sign.replace("(?:", "(") for _, sign, _ in _SHAPES)
"""Regular expression (POSIX extended and PCRE alike) that every file with a hit by content matches: a cheap sieve."""

_SIEVE: Final = re.compile(SCAN_PREFILTER.encode())
_TEXT_SIEVE: Final = re.compile(SCAN_PREFILTER)


def secret_name(path: str) -> str | None:
    """Why a file of this name is taken for a secret, or None. `path` is relative, with forward slashes."""
    folded = path.casefold()
    name = folded.rsplit("/", 1)[-1]
    if name == ".env" or name.startswith((".env.", ".env-", ".env_")) or name == ".envrc":
        if name[5:] and set(re.split(r"[.\-_]", name[5:])) & PLACEHOLDER_NAMES:
            return None
        return "environment file"
    if name in _KEY_NAMES or any(folded == end or folded.endswith("/" + end) for end in _KEY_PATHS):
        return "credentials file"
    return "key store" if name.endswith(_KEY_SUFFIXES) else None


def secret_content(data: bytes) -> str | None:
    """Why these bytes are taken for a secret, or None. Looks at the first SCAN_LIMIT bytes."""
    data = data[:SCAN_LIMIT]
    if _SIEVE.search(data) is None:
        return None
    for name, pattern in _PATTERNS:
        for match in pattern.finditer(data):
            if name not in _RANDOM or _looks_random(match.group().decode("latin-1")):
                return name
    return None


def looks_secret(path: str, data: bytes) -> str | None:
    """Why this file is taken for a secret ("environment file", "GitHub token", ...), or None."""
    return secret_name(path) or secret_content(data)


def _looks_random(token: str) -> bool:
    """Whether the token could come from a generator: many different characters, digits among letters.

    A dummy such as sk-xxxxxxxx or AKIAIOSFODNN7EXAMPLE (AWS's own documentation) does not.
    """
    if re.search(r"example|dummy|placeholder|x{6}|0{8}|123456", token, re.IGNORECASE):
        return False
    body = re.sub(r"^(sk-(kimi-)?|npm_|hf_|AKIA|ASIA|AIza)", "", token)
    counts = Counter(body)
    entropy = -sum(n / len(body) * log2(n / len(body)) for n in counts.values())
    return entropy >= 3.0 and any(c.isdigit() for c in body) and any(c.isalpha() for c in body)


class Redactor:
    """Replaces known secret values, in every usual spelling, and tokens of known vendors.

    `values` are the secrets of this process (API keys, tokens). Values shorter than 8 characters are refused
    silently: replacing them would tear ordinary words. Spellings: plain, URL-quoted, JSON-escaped, base64 at each
    of its three alignments (standard and URL alphabet), hexadecimal in both cases, reversed.
    """

    MARK: Final = "[secret removed]"

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for value in values:
            value = value.strip()
            if len(value) >= 8:
                forms |= _spellings(value)
        # Longest first, or a short spelling would leave the rest of a longer one behind.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._known_bytes = re.compile(b"|".join(re.escape(f.encode()) for f in ordered)) if ordered else None

    def redact(self, text: str) -> str:
        """`text` without known values and vendor tokens. The same text comes back when there are none."""
        if self._known is not None:
            text = self._known.sub(self.MARK, text)
        if _TEXT_SIEVE.search(text) is None:
            return text
        for name, pattern in _TEXT_PATTERNS:
            text = pattern.sub(functools.partial(_replacement, name), text)
        return text

    def contains_known(self, data: bytes) -> bool:
        """Whether a known value stands in these bytes in any of its spellings."""
        return self._known_bytes is not None and self._known_bytes.search(data) is not None


def _replacement(name: str, match: re.Match[str]) -> str:
    token = match.group()
    return Redactor.MARK if name not in _RANDOM or _looks_random(token) else token


def _spellings(value: str) -> set[str]:
    raw = value.encode()
    forms = {value, quote(value, safe=""), quote_plus(value), value[::-1]}
    forms |= {value.replace("\\", "\\\\").replace('"', '\\"'), raw.hex(), raw.hex().upper()}
    for shift in range(3):
        # The characters at both ends mix with neighbouring bytes: only the middle is the same everywhere.
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        first = (0, 2, 3)[shift]
        last = len(encoded) - (0 if (len(raw) + shift) % 3 == 0 else 1)
        middle = encoded[first:last]
        if len(middle) >= 8:
            forms |= {middle, middle.translate(str.maketrans("+/", "-_"))}
    return {form for form in forms if len(form) >= 8}
