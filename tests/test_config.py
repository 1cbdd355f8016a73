"""Settings: layers and their order, origins, what a repository may not say, and what is said about mistakes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.cli.options import SETTINGS
from kimicode.config import Config, Loaded, cache_dir, config_path, load, parse_duration, state_dir
from kimicode.config.environment import VARIABLES
from kimicode.config.layers import get
from kimicode.config.repository import INERT, find_root, read_repository_files, repository_values
from kimicode.config.settings import known_keys, settable_keys
from kimicode.errors import ConfigError, KimicodeError, UsageError


def load_text(
    tmp_path: Path,
    user: str = "",
    *,
    environ: dict[str, str] | None = None,
    flags: dict[str, tuple[object, str]] | None = None,
    repository: dict[str, bytes] | None = None,
) -> Loaded:
    file = tmp_path / "config.toml"
    file.write_text(user)
    return load({"KIMICODE_CONFIG": str(file), **(environ or {})}, flags=flags, repository=repository)


def test_defaults_are_what_is_documented(tmp_path: Path) -> None:
    loaded = load_text(tmp_path)
    config = loaded.config
    assert config == Config()
    assert (config.model.id, config.model.base_url) == ("kimi-k2.6", "https://api.moonshot.ai/v1")
    assert config.limits.limits().max_steps == 100
    assert (config.network.mode, config.sandbox.backend, config.checks.timeout_s) == ("none", "auto", 1800)
    assert {o.layer for o in loaded.origins.values()} == {"default"}
    assert set(loaded.origins) == set(known_keys())


def test_each_layer_goes_over_the_one_before_and_is_named(tmp_path: Path) -> None:
    user = '[limits]\nmax_steps = 11\nmax_cost = 1.5\nmax_time = "15m"\n'
    steps: list[tuple[dict[str, str], dict[str, tuple[object, str]], int, str]] = [
        ({}, {}, 11, f"user ({tmp_path / 'config.toml'})"),
        ({"KIMICODE_MAX_STEPS": "12"}, {}, 12, "environment (KIMICODE_MAX_STEPS)"),
        ({"KIMICODE_MAX_STEPS": "12"}, {"limits.max_steps": ("13", "--max-steps")}, 13, "flag (--max-steps)"),
    ]
    for environ, flags, expected, origin in steps:
        loaded = load_text(tmp_path, user, environ=environ, flags=flags)
        assert loaded.config.limits.max_steps == expected
        assert str(loaded.origins["limits.max_steps"]) == origin
        assert (loaded.config.limits.max_cost, loaded.config.limits.max_time) == (1.5, 900)


def test_kimi_names_are_known_and_our_own_wins(tmp_path: Path) -> None:
    environ = {"MOONSHOT_BASE_URL": "https://api.moonshot.cn/v1/", "KIMI_MODEL": "kimi-k3"}
    loaded = load_text(tmp_path, environ=environ)
    assert loaded.config.model.base_url == "https://api.moonshot.cn/v1"
    assert loaded.config.model.id == "kimi-k3"
    loaded = load_text(tmp_path, environ={**environ, "KIMI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert str(loaded.origins["model.base_url"]) == "environment (KIMI_BASE_URL)"
    loaded = load_text(
        tmp_path, environ={**environ, "KIMICODE_MODEL": "", "KIMICODE_BASE_URL": "http://h/v1"}
    )
    assert (loaded.config.model.id, loaded.config.model.base_url) == ("kimi-k3", "http://h/v1")


def test_none_takes_limits_and_checks_away(tmp_path: Path) -> None:
    config = load_text(
        tmp_path, '[limits]\nmax_cost = "none"\nmax_time = "none"\n[checks]\ncommands = "none"\n'
    ).config
    assert (config.limits.max_cost, config.limits.max_time, config.checks.commands) == (None, None, ())
    assert load_text(tmp_path, '[checks]\ncommands = "pytest -q"\n').config.checks.commands == ("pytest -q",)
    flags: dict[str, tuple[object, str]] = {"checks.commands": (["make a", "make b"], "--check")}
    assert load_text(tmp_path, flags=flags).config.checks.commands == ("make a", "make b")


@pytest.mark.parametrize(
    ("user", "message", "hint"),
    [
        ("[limits]\nmax_stepps = 1\n", "there is no setting 'limits.max_stepps'", "limits.max_steps"),
        ("max_steps = 1\n", "there is no setting 'max_steps'", "limits.max_steps"),
        ("[limit]\nmax_cost = 1\n", "'limit.max_cost'", "limits.max_cost"),
        ("[quite.other]\nthing = 1\n", "'quite.other'", "kimicode config show"),
        ('[model]\napi_key = "sk-canary"\n', "keys are not kept in settings files", "KIMI_API_KEY"),
        ('[proposed]\nsetup = "x"\n', "'proposed.setup'", ""),
        ("[limits]\nmax_steps = 0\n", "limits.max_steps = 0", ""),
        ('[model]\nbase_url = "api.moonshot.ai"\n', "expected an address such as https://", ""),
        ('[model]\nbase_url = "https://u:canary@h/v1"\n', "must not hold a user name", ""),
        ('[sandbox]\nbackend = "podman"\n', "'auto', 'docker', 'bwrap' or 'host'", ""),
        ('[limits]\nmax_time = "soon"\n', "15m", ""),
        ("[limits]\nmax_cost = -1\n", "above 0", ""),
        ("limits = 3\n", "there is no setting 'limits'", ""),
        ('[repo]\nbranch_prefix = "-x"\n', "valid branch name", ""),
        ('[network]\nallow = ["https://pypi.org"]\n', "is not a host name", ""),
        ("[limits\n", "is not valid TOML", ""),
    ],
)
def test_mistakes_in_the_users_file(tmp_path: Path, user: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, user)
    assert caught.value.exit_code == 3
    assert message in str(caught.value)
    assert str(tmp_path / "config.toml") in str(caught.value)
    assert hint in caught.value.hint
    assert "canary" not in str(caught.value) + caught.value.hint


def test_a_mistake_in_a_flag_is_a_usage_error_and_in_a_variable_is_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as flag:
        load_text(tmp_path, flags={"limits.max_time": ("15x", "--max-time")})
    assert "--max-time '15x'" in str(flag.value)
    with pytest.raises(ConfigError, match="KIMICODE_MAX_COST"):
        load_text(tmp_path, environ={"KIMICODE_MAX_COST": "cheap"})
    with pytest.raises(ConfigError, match="KIMICODE_MAX_STPES") as typo:
        load_text(tmp_path, environ={"KIMICODE_MAX_STPES": "5"})
    assert "KIMICODE_MAX_STEPS" in typo.value.hint
    load_text(tmp_path, environ={"KIMICODE_SOMEBODY_ELSES": "5", "KIMI_MODEL_TEMPERATURE": "1"})


VALUES = {
    "model.base_url": '"http://127.0.0.1:9/v1"',
    "sandbox.backend": '"host"',
    "network.mode": '"allowlist"',
    "network.allow": '["evil.example"]',
    "limits.max_cost": "1000",
}


@pytest.mark.parametrize(
    "key",
    [k for k in settable_keys() if k not in INERT]
    + [
        "api_key",
        "model.api_key",
        "hooks.before",
        "mcp.servers",
        "policy.allow",
        "budget",
        "env.PATH",
        "proposed.source",
    ],
)
@pytest.mark.parametrize("name", [".kimicode.toml", "pyproject.toml"])
def test_a_repository_may_not_set(tmp_path: Path, key: str, name: str) -> None:
    prefix = "" if name == ".kimicode.toml" else "tool.kimicode."
    text = f"{prefix}{key} = {VALUES.get(key, '1')}\n"
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, repository={name: text.encode()})
    assert caught.value.exit_code == 3
    assert repr(key) in str(caught.value)
    assert name in str(caught.value)
    assert "user level" in str(caught.value)


def test_a_repository_may_propose(tmp_path: Path) -> None:
    repository = {
        "pyproject.toml": b'[tool.kimicode]\nsetup.command = "pip install ."\nchecks.commands = "a"',
        ".kimicode.toml": b'[checks]\ncommands = ["pytest -q", "ruff check"]\n',
    }
    loaded = load_text(tmp_path, '[setup]\ncommand = "make env"\n', repository=repository)
    proposed = loaded.config.proposed
    assert proposed.checks == ("pytest -q", "ruff check")
    assert (proposed.setup, proposed.source) == ("pip install .", ".kimicode.toml")
    # A proposal never replaces what the user decided, nor becomes a decision.
    assert (loaded.config.setup.command, loaded.config.checks.commands) == ("make env", None)
    assert str(loaded.origins["proposed.setup"]) == "repository (pyproject.toml)"


@pytest.mark.parametrize(
    "data",
    [
        b"[checks]\ncommands = 3",
        b'[setup]\ncommand = ["a", "b"]',
        b'[setup]\ncommand = "a\\nb"',
        b"\xff",
        b"a = [" * 5000,
    ],
)
def test_repository_files_that_cannot_be_used_are_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"\.kimicode\.toml"):
        load_text(tmp_path, repository={".kimicode.toml": data})


def test_somebody_elses_pyproject_is_not_our_business(tmp_path: Path) -> None:
    for data in (b"[project\n", b"\xff\xfe", b'[tool.other]\nkimicode = "x"', b"tool = 3 # kimicode"):
        assert load_text(tmp_path, repository={"pyproject.toml": data}).config == Config()
    with pytest.raises(ConfigError, match=r"pyproject\.toml is not valid TOML"):
        load_text(tmp_path, repository={"pyproject.toml": b"[tool.kimicode\nchecks = 1"})


def test_only_plain_files_of_the_repository_are_read(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    (repo / ".git").mkdir(parents=True)
    (repo / "deep" / "er").mkdir(parents=True)
    assert find_root(repo / "deep" / "er") == repo
    assert read_repository_files(repo) == {}
    secret = tmp_path / "secret.toml"
    secret.write_text('[checks]\ncommands = "canary"\n')
    (repo / "pyproject.toml").symlink_to(secret)
    assert read_repository_files(repo) == {}
    os.mkfifo(repo / ".kimicode.toml")
    with pytest.raises(ConfigError, match="not a regular file"):
        read_repository_files(repo)
    (repo / ".kimicode.toml").unlink()
    (repo / ".kimicode.toml").symlink_to(secret)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_repository_files(repo)
    (repo / ".kimicode.toml").unlink()
    (repo / ".kimicode.toml").write_bytes(b"#" * (2 * 1024 * 1024))
    with pytest.raises(ConfigError, match="at most 1 MiB"):
        read_repository_files(repo)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_of_a_repository_do_more_than_propose(data: bytes) -> None:
    for name in (".kimicode.toml", "pyproject.toml"):
        try:
            found = list(repository_values({name: data}))
        except ConfigError:
            continue
        assert {key for key, _, _ in found} <= {*INERT.values(), "proposed.source"}


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.text(max_size=5), max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(settable_keys()), _scalars)
def test_any_flag_value_is_taken_or_explained(key: str, value: object) -> None:
    environ = {"KIMICODE_CONFIG": "/nonexistent/config.toml"}
    try:
        config = load(environ, flags={key: (value, "--some-option")}).config
    except KimicodeError as e:
        assert isinstance(e, UsageError)
        assert "--some-option" in str(e)
    else:
        get(config, key)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 5M ", 300),
        (7, 7),
        (0.5, 0.5),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5", "5x", "h", "m5", "1h30", "inf", "nan", None, True, "1 h", "٣s"]
)
def test_durations_that_are_none(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)


def test_places_follow_their_variables(tmp_path: Path) -> None:
    environ = {
        "KIMICODE_STATE_DIR": str(tmp_path),
        "KIMICODE_CACHE_DIR": "~/c",
        "KIMICODE_CONFIG": "relative.toml",
    }
    assert state_dir(environ) == tmp_path
    assert cache_dir(environ) == Path.home() / "c"
    assert config_path(environ) == Path.cwd() / "relative.toml"
    for place in (state_dir({}), cache_dir({}), config_path({}).parent):
        assert place.is_absolute()
        assert place.name == "kimicode"


def test_the_document_lists_what_there_is() -> None:
    text = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
    rows = {
        line.split("`")[1]: line
        for line in text.splitlines()
        if line.startswith("| `") and line.count("|") == 6
    }
    assert list(rows) == list(settable_keys())
    for key, line in rows.items():
        value = get(Config(), key)
        assert f"`{'not set' if value is None else json.dumps(value)}`" in line
        for variable, target in VARIABLES.items():
            assert (f"`{variable}`" in line) == (target == key)
        for target, option in SETTINGS.values():
            assert (f"`{option}`" in line) == (target == key)
    proposals = text.split("## What a repository may say")[1]
    assert all(f"| `{key}` |" in proposals for key in INERT)
