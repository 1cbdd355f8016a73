"""Setup commands, manifests, consent, and what of the user's settings reaches the command."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest

from kimicode.environment.build import consent, make_script
from kimicode.environment.cache import environment_key
from kimicode.environment.detect import SetupCommand, find_setup
from kimicode.environment.manifests import find_manifests
from kimicode.environment.settings import IndexSettings, collect_settings, local_folders, secrets_of


def found(files: Mapping[str, str]) -> SetupCommand | None:
    def read(path: str) -> bytes | None:
        return files[path].encode() if path in files else None

    return find_setup(list(files), read)


PIP = ".venv/bin/python -m pip install"
NODE = '{"dependencies": {"x": "1"}}'
PYTEST = f"(.venv/bin/python -c 'import pytest' 2>/dev/null || {PIP} pytest)"


@pytest.mark.parametrize(
    ("files", "step", "reason"),
    [
        (
            {"pyproject.toml": "[project]\nname='x'\n[project.optional-dependencies]\ndocs=[]\ntest=['pytest']"},
            f"({PIP} -e '.[test]' || {PIP} -e .)",
            "pyproject.toml with extra test",
        ),
        (
            {"setup.py": "setup(extras_require={'tests': ['pytest']})"},
            f"{PIP} -e '.[tests]'",
            "setup.py with extra tests",
        ),
        ({"setup.cfg": "[options.extras_require]\ndev = pytest"}, f"{PIP} -e '.[dev]'", "setup.cfg with extra dev"),
        (
            {
                "pyproject.toml": "[project]\nname='x'\n[dependency-groups]\nbase=['a>1']\n"
                "tests=['pytest', {include-group='base'}, {include-group='tests'}]",
            },
            f"{PIP} pytest 'a>1'",
            "pyproject.toml and dependency group tests",
        ),
        (
            {
                "pyproject.toml": "[tool.poetry]\nname='x'\n[tool.poetry.group.dev.dependencies]\n"
                "pytest='^8.1'\nb={version='*', extras=['c']}"
            },
            f"{PIP} 'pytest>=8.1' 'b[c]'",
            "pyproject.toml and dependency group dev",
        ),
        (
            {"setup.py": "", "requirements-dev.txt": "-e ."},
            f"{PIP} -r requirements-dev.txt",
            "setup.py and requirements-dev.txt",
        ),
        ({"requirements.txt": "flask"}, f"{PIP} -r requirements.txt", "requirements.txt"),
        (
            {"package.json": '{"devDependencies": {"jest": "1"}}', "package-lock.json": ""},
            "npm ci --no-audit",
            "package-lock.json",
        ),
        ({"package.json": NODE}, "npm install --no-audit", "package.json without a lock file"),
        ({"package.json": NODE, "pnpm-lock.yaml": ""}, "pnpm install --frozen-lockfile", "package.json with pnpm"),
        ({"package.json": NODE, "yarn.lock": ""}, "yarn install --frozen-lockfile", "yarn.lock"),
        ({"go.mod": "module m"}, "go mod download", "go.mod"),
        ({"Cargo.toml": "", "Cargo.lock": ""}, "cargo fetch --locked", "Cargo.toml"),
    ],
)  # fmt: skip
def test_setup(files: dict[str, str], step: str, reason: str) -> None:
    setup = found(files)
    assert setup is not None
    assert step in setup.command
    assert setup.reason == reason
    assert setup.interpreter == (".venv/bin/python" if "pip install" in setup.command else "")
    checked = subprocess.run(["sh", "-n", "-c", setup.command], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_setups_are_joined_and_refused() -> None:
    files = {
        "pyproject.toml": "[project]\nname='x'",
        "package.json": '{"dependencies": {"a": "1"}}',
        "go.mod": "",
    }
    setup = found(files)
    assert setup is not None
    steps = [
        "python3 -m venv .venv",
        f"{PIP} -e .",
        PYTEST,
        "npm install --no-audit --no-fund --no-package-lock",
    ]
    assert setup.command == " && ".join([*steps, "go mod download"])
    assert found({"README.md": "", "pyproject.toml": "[tool.ruff]", "package.json": '{"name": "x"}'}) is None
    assert found({"pyproject.toml": "broken [", "package.json": "["}) is None
    assert (
        found(
            {
                "pyproject.toml": "project = 1\ndependency-groups = 2\ntool = []",
                "package.json": '{"dependencies": 3}',
            }
        )
        is None
    )
    odd = found(
        {
            "pyproject.toml": "[tool.poetry.group.test.dependencies]\n'a;rm -rf /' = '1'\nb = '>=1; rm'\n[build-system]"
        }
    )
    assert odd is not None and "rm" not in odd.command


def test_manifests() -> None:
    files = [
        "pyproject.toml", "src/a.py", "requirements/dev.txt", "requirements-test.txt", "docs/requirements.txt",
        "web/package.json", "web/package-lock.json", "node_modules/x/package.json", "go.sum", "sub/Cargo.toml",
        "src/fast.pyx", "src/fast.c", "README.md", "a/b/c/requirements.txt", ".npmrc",
    ]  # fmt: skip
    plain = find_manifests(files)
    assert plain == (
        ".npmrc", "docs/requirements.txt", "go.sum", "pyproject.toml", "requirements-test.txt",
        "requirements/dev.txt", "sub/Cargo.toml", "web/package-lock.json", "web/package.json",
    )  # fmt: skip
    native = find_manifests(files, "setup(ext_modules=cythonize('src/fast.pyx'))")
    assert set(native) - set(plain) == {"src/fast.pyx", "src/fast.c"}


def test_key_depends_on_everything() -> None:
    keys = {
        environment_key("sha256:a", "pip install .", {"a": "1", "b": "2"}),
        environment_key("sha256:b", "pip install .", {"a": "1", "b": "2"}),
        environment_key("sha256:a", "pip install ..", {"a": "1", "b": "2"}),
        environment_key("sha256:a", "pip install .", {"a": "1", "b": "3"}),
        environment_key("sha256:a", "pip install .", {"a": "1"}),
    }
    assert len(keys) == 5
    assert environment_key("i", "c", {"a": "1", "b": "2"}) == environment_key("i", "c", {"b": "2", "a": "1"})


def test_consent_is_the_rule_of_the_issue() -> None:
    for tty, yes in product((False, True), repeat=2):
        for source in ("given", "configured"):
            assert consent(source, tty=tty, yes=yes, flag="") == "run"
        for source in ("detected", "proposed"):
            expected = "skip" if not tty else "run" if yes else "ask"
            assert consent(source, tty=tty, yes=yes, flag="") == expected
            assert consent(source, tty=tty, yes=yes, flag="auto") == "run"
        for source in ("given", "configured", "detected", "proposed"):
            assert consent(source, tty=tty, yes=yes, flag="none") == "skip"


FILES = {
    "/etc/pip.conf": "[global]\nindex-url = https://low\ntrusted-host = h\n",
    "/home/u/.config/pip/pip.conf": "[global]\nindex-url = https://user:word@high/simple\n    https://second\n"
    "cert = /ca/pip.pem\n"
    "[install]\nno-index = false\n",
    "/home/u/.npmrc": "registry=https://npm\n//npm/:_authToken=SECRET\ncafile=/ca/npm.pem\n; proxy=x\n"
    "https-proxy=${X}\n",
    "/ca/pip.pem": "PIP CERT",
    "/ca/npm.pem": "NPM CERT",
    "/ca/all.pem": "ALL CERT",
}


def test_settings_of_the_user() -> None:
    environ = {
        "HOME": "/home/u", "SSL_CERT_FILE": "/ca/all.pem", "https_proxy": "http://proxy", "KIMI_API_KEY": "SECRET",
        "PIP_TRUSTED_HOST": "mine", "GITHUB_TOKEN": "SECRET", "CURL_CA_BUNDLE": "/missing", "PATH": "/bin",
    }  # fmt: skip
    settings = collect_settings(environ, lambda path: FILES[path].encode() if path in FILES else None)
    assert settings.variables == {
        "PIP_INDEX_URL": "https://user:word@high/simple https://second",
        "PIP_TRUSTED_HOST": "mine",
        "PIP_NO_INDEX": "false",
        "NPM_CONFIG_REGISTRY": "https://npm",
        "https_proxy": "http://proxy",
    }
    assert settings.certificates == {
        "PIP_CERT": b"PIP CERT",
        "NPM_CONFIG_CAFILE": b"NPM CERT",
        "SSL_CERT_FILE": b"ALL CERT",
    }
    assert "SECRET" not in str(settings.variables) and "word" not in repr(settings)
    assert secrets_of(settings) == ("user", "user:word", "word")
    local = IndexSettings(
        {"PIP_FIND_LINKS": "/opt/wheels https://x/", "PIP_EXTRA_INDEX_URL": "file:///opt/simple/"}
    )
    assert local_folders(local) == ("/opt/wheels",)


def run_script(script: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-s"], input=script, cwd=folder, capture_output=True, env={"PATH": os.environ["PATH"]}
    )


def test_script_gives_settings_to_the_command_and_leaves_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    settings = IndexSettings(
        {"PIP_INDEX_URL": "https://a'b $(x)\n"}, {"PIP_CERT": b"CANARY\n" * 3, "A_CERT": b"\x00\xff"}
    )
    command = 'printf %s "$PIP_INDEX_URL" > url; cat "$PIP_CERT" > cert; cat "$A_CERT" > other; umask; cat'
    done = run_script(make_script(command, settings, str(secret)), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0022\n", b"")
    assert (tmp_path / "url").read_text() == "https://a'b $(x)\n"
    assert (tmp_path / "cert").read_bytes() == b"CANARY\n" * 3
    assert (tmp_path / "other").read_bytes() == b"\x00\xff"
    assert not secret.exists()
    failed = run_script(make_script("exit 7", settings, str(secret)), tmp_path)
    assert failed.returncode == 7 and not secret.exists()
    plain = make_script("echo a && false || exit 3", IndexSettings())
    assert run_script(plain, tmp_path).returncode == 3


def test_every_part_of_a_detected_command_is_quoted() -> None:
    files = {
        "pyproject.toml": "[project]\nname='x'\n[dependency-groups]\n"
        "test=['a; touch /x', '$(touch /y)', '--flag', 'b @ file:///c d']"
    }
    setup = found(files)
    assert setup is not None
    words = shlex.split(setup.command)
    assert (
        "a; touch /x" in words
        and "$(touch /y)" in words
        and "b @ file:///c d" in words
        and "--flag" not in words
    )
    assert json.loads(setup.model_dump_json())["interpreter"] == ".venv/bin/python"
