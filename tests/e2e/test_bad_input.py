"""Bad input: what, why, what next; the documented exit code; and nothing made or asked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e.world import LOOK, REPAIR, World, serve, submit
from tests.fakes.kimi_server.script import fail, quota, say


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path).make()


def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--repo", "/nowhere/at/all"], 2, ["/nowhere/at/all", "does not exist"]),
        (["--base", "no-such-rev"], 2, ["no-such-rev"]),
        (["--max-steps", "zero"], 2, ["max-steps"]),
        (["--max-cost", "-1"], 2, ["max"]),
        (["--max-time", "soon"], 2, ["90s"]),
        (["--sandbox", "moon"], 2, ["sandbox"]),
        (["--paths", "not/there"], 2, ["not/there"]),
        (["--branch", "a..b"], 2, ["a..b"]),
    ],
)
def test_options(world: World, args: list[str], code: int, words: list[str]) -> None:
    base = [
        "fix",
        "Do it",
        "--repo",
        str(world.repo),
        "--sandbox",
        "host",
        "--yes",
        "--base-url",
        "http://127.0.0.1:9/v1",
    ]
    done = world.run(*base, *args)
    assert done.returncode == code, done.stderr
    assert all(w in done.stderr for w in words), done.stderr
    assert "Traceback" not in done.stderr
    assert world.branches() == []


@pytest.mark.parametrize(
    ("task", "words"),
    [("", ["empty"]), ("   ", ["empty"]), ("@/no/such/file", ["/no/such/file"]), ("-", ["empty"])],
)
def test_tasks(world: World, task: str, words: list[str]) -> None:
    done = world.run("fix", task, "--repo", str(world.repo), stdin="")
    assert done.returncode == 2 and all(w in done.stderr for w in words), done.stderr


def test_not_a_repository_and_an_unborn_head(world: World) -> None:
    plain = world.folder / "plain"
    plain.mkdir()
    done = world.run("fix", "x", "--repo", str(plain))
    assert done.returncode == 2 and "git" in done.stderr, done.stderr
    import subprocess

    subprocess.run(["git", "init", "-q", str(plain)], check=True)
    done = world.run("fix", "x", "--repo", str(plain))
    assert done.returncode == 2 and "commit" in done.stderr, done.stderr


def test_no_key_is_one_line_and_never_a_prompt(world: World) -> None:
    world.env = {"KIMI_API_KEY": ""}
    done = world.run("fix", "x", "--repo", str(world.repo))
    assert done.returncode == 3 and "KIMI_API_KEY" in done.stderr, done.stderr
    assert not list((world.folder / "state").rglob("log.jsonl"))


def test_a_refused_key_names_the_platforms(world: World) -> None:
    with serve(fail(401, "invalid_authentication_error", "Invalid Authentication"), say("x")) as server:
        ran = world.fix(server)
    assert ran.code == 3, ran.says()
    said = ran.out["message"] + ran.out["hint"]
    assert all(p in said for p in ("moonshot.ai", "moonshot.cn", "kimi.com"))
    assert "kimicode resume" in said


def test_an_unknown_model(world: World) -> None:
    with serve(say("x")) as server:
        ran = world.fix(server, "--model", "kimi-k9")
    assert ran.code == 3, ran.says()
    assert "kimi-k9" in ran.out["message"] and "kimi-k2.6" in ran.out["hint"]


def test_quota_is_never_retried(world: World) -> None:
    with serve(quota(times=9), say("x")) as server:
        ran = world.fix(server)
    assert ran.code == 75 and len(server.requests) == 1, ran.says()


def test_an_endpoint_that_is_not_there(world: World) -> None:
    world.env = {"KIMICODE_RETRY_FOR": "1"}
    done = world.run(
        "fix",
        "x",
        "--repo",
        str(world.repo),
        "--sandbox",
        "host",
        "--yes",
        "--base-url",
        f"http://127.0.0.1:{closed_port()}/v1",
    )
    assert done.returncode == 75 and "127.0.0.1" in done.stderr and "kimicode resume" in done.stderr, (
        done.stderr
    )


def test_no_docker_is_6_with_the_remedy(world: World) -> None:
    world.env = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    with serve(say("x")) as server:
        ran = world.fix(server, sandbox="docker")
    assert ran.code == 6 and server.requests == [], ran.says()
    assert "docker" in ran.out["message"].lower() and ran.out["hint"]


def test_a_repository_may_not_configure_where_it_is_sent(world: World) -> None:
    (world.repo / ".kimicode.toml").write_text('[model]\nbase_url = "http://127.0.0.1:1/v1"\n')
    with serve(say("x")) as server:
        ran = world.fix(server)
    assert ran.code == 3 and server.requests == [], ran.says()
    assert "base_url" in ran.out["message"] and ".kimicode.toml" in ran.out["message"]


def test_stream_json_ends_with_a_result_line_also_after_an_error(world: World) -> None:
    import json

    with serve(LOOK, REPAIR, submit()) as server:
        done = world.run(
            "fix", "x", "--repo", str(world.repo), "--base-url", server.base_url, "--sandbox", "host", "--yes",
            "--output-format", "stream-json",
        )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert lines[-1]["kind"] == "result" and lines[-1]["status"] == "verified"
    durable = [line for line in lines[:-1] if not line.get("ephemeral")]
    assert [line["seq"] for line in durable] == list(range(len(durable)))
    done = world.run("fix", "x", "--repo", "/nowhere", "--output-format", "stream-json")
    assert json.loads(done.stdout.splitlines()[-1])["exit_code"] == 2
