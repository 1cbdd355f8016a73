"""The command line itself: version, help, what they import, and what is said about mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kimicode import __version__
from kimicode.cli import main
from tests.cli.programs import KIMICODE, environment, run

HEAVY = (
    "openai",
    "httpx2",
    "rich",
    "git",
    "docker",
    "prompt_toolkit",
    "pydantic",
    "asyncio",
    "unidiff",
    "platformdirs",
)


def loaded_by(*arguments: str) -> set[str]:
    """Top-level packages that are imported after a command line."""
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['kimicode', *{arguments!r}]\n"
        "try:\n    runpy.run_module('kimicode', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    return set(done.stderr.split())


def test_version_imports_nothing_and_says_that_we_are_nobody_official() -> None:
    assert not loaded_by("--version") & {*HEAVY, "typer", "re", "typing"}
    done = run([*KIMICODE, "--version"])
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"kimicode {__version__}")
    for part in ("Kimi K2.6", "unofficial", "not affiliated with Moonshot AI"):
        assert part in line


@pytest.mark.parametrize("arguments", [("--help",), ("fix", "--help"), ("sessions", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not loaded_by(*arguments) & set(HEAVY)


def test_help_names_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    text = run([*KIMICODE, "--help"]).stdout
    for name in ("fix", "demo", "resume", "sessions", "config", "models", "doctor"):
        assert f"\n  {name} " in text
        assert main.run([name, "--help"]) == 0
        assert f"Usage: kimicode {name}" in capsys.readouterr().out
    text = run([*KIMICODE, "fix", "--help"], env={"COLUMNS": "100"}).stdout
    options = (
        "--repo --base --paths --model --base-url --thinking --no-thinking --sandbox --image --setup --check --network "
        "--max-steps --max-cost --max-time --branch --apply --patch --allow-test-change --output-format -o --yes -v"
    )
    for option in options.split():
        assert f"{option} " in text or f"{option}," in text, option
    assert "docker|bwrap|host" in text
    assert "text|json|stream-json" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fxi",), "Did you mean 'fix'?"),
        (("make it work",), 'Did you mean: kimicode fix "make it work"?'),
        (("--nope",), "No such option: --nope"),
        (("fix",), "Missing argument"),
        (("fix", "a", "b"), "unexpected extra argument"),
        (("fix", "a", "--max-step", "3"), "No such option: --max-step"),
        (("sessions", "shwo"), "No such command 'shwo'"),
    ],
)
def test_mistakes_of_form(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Usage: kimicode" in err
    assert out == ""


BAD_VALUES = [
    (("--max-steps", "many"), "--max-steps 'many'"),
    (("--max-steps", "0"), "greater than or equal to 1"),
    (("--max-cost", "-2"), "--max-cost '-2': must be an amount of USD above 0"),
    (("--max-cost", "nan"), "--max-cost 'nan'"),
    (("--max-time", "soon"), "15m"),
    (("--max-time", ""), "--max-time ''"),
    (("--sandbox", "podman"), "'docker', 'bwrap' or 'host'"),
    (("--network", "open"), "'none' or 'allowlist'"),
    (("--output-format", "yaml"), "'text', 'json' or 'stream-json'"),
    (("--base-url", "api.moonshot.ai"), "expected an address"),
    (("--check", ""), "--check"),
    (("--setup", " "), "--setup"),
    (("--repo", "/nonexistent/folder"), "--repo: /nonexistent/folder does not exist"),
    (("--base", "-x"), "--base '-x' cannot be a name in git"),
    (("--branch", ""), "--branch '' cannot be a name in git"),
    (("--branch", "b", "--apply"), "exclude each other"),
    (("--paths", "../elsewhere"), "--paths"),
    (("--patch", "no/such/folder/x.patch"), "--patch"),
    (("-o", "no/such/folder/x.json"), "the output file no/such/folder/x.json cannot be written"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD_VALUES, ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_mistakes_of_value_are_explained_and_exit_with_2(
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main.run(["fix", "make it work", *arguments])
    out, err = capsys.readouterr()
    assert code == 2, err
    assert message in err
    assert "  next: " in err
    assert out == ""


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("", "the task is empty"),
        ("  \n", "the task is empty"),
        ("-", "standard input is empty"),
        ("@", "@ is not followed by a file name"),
        ("@nothing.md", "the task file nothing.md cannot be read: No such file"),
        ("@.", ". is a folder"),
        ("@binary", "binary is binary, not text"),
        ("@empty.md", "empty.md is empty"),
        ("@long.md", "a task may have 200000"),
    ],
)
def test_tasks_that_are_none(
    tmp_path: Path,
    task: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "binary").write_bytes(b"\0\1\2")
    (tmp_path / "empty.md").write_text("\n")
    (tmp_path / "long.md").write_text("x" * 200_001)
    monkeypatch.chdir(tmp_path)
    assert main.run(["fix", task]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "  next: " in err


def test_mistakes_are_told_as_json_when_json_was_asked_for(tmp_path: Path) -> None:
    done = run([*KIMICODE, "fix", "x", "--max-steps", "0", "--output-format", "json"], cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (found["status"], found["exit_code"], done.returncode) == ("error", 2, 2)
    assert "--max-steps" in found["message"]
    done = run([*KIMICODE, "fix", "", "--output-format", "stream-json", "-o", "out.jsonl"], cwd=tmp_path)
    assert done.stdout == ""
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "result"
    done = run([*KIMICODE, "fix", ""], cwd=tmp_path, env={"KIMICODE_OUTPUT_FORMAT": "json"})
    assert json.loads(done.stdout)["exit_code"] == 2


def test_a_repository_that_wants_too_much_is_refused_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".kimicode.toml").write_text('[model]\nbase_url = "http://127.0.0.1:9/v1"\n')
    below = tmp_path / "below"
    below.mkdir()
    done = run([*KIMICODE, "fix", "x"], cwd=below, env={"KIMI_API_KEY": "sk-canary-0123456789"})
    assert done.returncode == 3
    assert ".kimicode.toml: a repository may not set 'model.base_url'" in done.stderr
    assert "user level" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_config_show_and_path(tmp_path: Path, own_folders: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.kimicode]\nchecks.commands = ["make test"]\n')
    file = own_folders / "config.toml"
    where = run([*KIMICODE, "config", "path"], cwd=tmp_path)
    assert where.stdout == f"{file}\n"
    assert "not there yet" in where.stderr
    file.write_text("[limits]\nmax_steps = 7\n")
    env = {"KIMI_API_KEY": "sk-canary-0123456789", "KIMICODE_MAX_COST": "2"}
    done = run([*KIMICODE, "config", "show", "--origin"], cwd=tmp_path, env=env)
    assert done.returncode == 0
    shown = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f"limits.max_steps 7 # user ({file})" in shown
    assert "limits.max_cost 2.0 # environment (KIMICODE_MAX_COST)" in shown
    assert 'proposed.checks ["make test"] # repository (pyproject.toml)' in shown
    assert 'model.id "kimi-k2.6" # default' in shown
    assert "canary" not in done.stdout
    found = json.loads(run([*KIMICODE, "config", "show", "--origin", "--json"], cwd=tmp_path, env=env).stdout)
    assert found["limits.max_steps"] == {"value": 7, "origin": "user", "source": str(file)}
    file.write_text("[limits]\nmax_stepps = 7\n")
    done = run([*KIMICODE, "config", "show"], cwd=tmp_path)
    assert done.returncode == 3
    assert "did you mean limits.max_steps?" in done.stderr


def test_models_are_listed_with_prices() -> None:
    text = run([*KIMICODE, "models"]).stdout
    (line,) = [x for x in text.splitlines() if x.startswith("kimi-k2.6 (default)")]
    assert line.split()[-3:] == ["$0.95", "$0.16", "$4.00"]
    found = json.loads(run([*KIMICODE, "models", "--json"]).stdout)
    assert [m["id"] for m in found["models"] if m["default"]] == ["kimi-k2.6"]


def test_output_into_a_closed_pipe_is_quiet() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" | true', "bash", *KIMICODE, "models"], capture_output=True, env=environment()
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
