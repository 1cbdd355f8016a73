"""`kimicode doctor` against endpoints on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cli.programs import KIMICODE, run

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Serves /v1/models to whoever has the key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.headers.get("Authorization") == f"Bearer {KEY}"
            error = {"error": {"type": "invalid_authentication_error", "message": "Invalid Authentication"}}
            body = json.dumps({"data": [{"id": "kimi-k2.6"}, {"id": "kimi-k3"}]} if good else error).encode()
            self.send_response(200 if good else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def examine(*arguments: str, **env: str) -> tuple[int, dict[str, dict[str, str]], str]:
    done = run([*KIMICODE, "doctor", "--json", *arguments], env=env)
    found = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode
    return done.returncode, {f["name"]: f for f in found["findings"]}, done.stdout


def test_a_key_that_works_is_named_by_its_source_only(endpoint: str) -> None:
    _, found, text = examine("--base-url", endpoint, KIMI_API_KEY=KEY)
    assert found["key"]["text"] == "from KIMI_API_KEY"
    assert found["endpoint"]["state"] == "ok"
    assert "serves kimi-k2.6" in found["endpoint"]["text"]
    assert {"python", "settings", "git", "docker", "bwrap", "sessions", "cache", "terminal"} <= set(found)
    assert "canary" not in text


def test_a_model_that_is_not_served_and_a_key_that_is_refused(endpoint: str) -> None:
    _, found, _ = examine("--base-url", endpoint, "--model", "kimi-k9", KIMI_API_KEY=KEY)
    assert found["endpoint"]["state"] == "note"
    assert "kimi-k2.6, kimi-k3" in found["endpoint"]["remedy"]
    code, found, text = examine("--base-url", endpoint, KIMI_API_KEY="sk-canary-of-another-kind")
    assert found["endpoint"]["state"] == "bad"
    assert code in (3, 6)
    assert "canary" not in text


def test_no_key_and_no_endpoint(own_folders: object) -> None:
    code, found, _ = examine("--offline")
    assert found["key"]["state"] == "bad"
    assert "KIMI_API_KEY" in found["key"]["text"]
    assert code in (3, 6)
    _, found, _ = examine("--base-url", "http://127.0.0.1:1/v1", KIMI_API_KEY=KEY)
    assert found["endpoint"]["state"] == "bad"
    _, found, _ = examine("--offline", KIMI_API_KEY=KEY)
    assert found["endpoint"]["state"] == "note"


def test_settings_and_folders_that_cannot_be_used(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "config.toml").write_text("[limits]\nmax_stepps = 1\n")
    (folder / "file").write_text("")
    code, found, _ = examine(
        "--offline",
        KIMICODE_CONFIG=str(folder / "config.toml"),
        KIMICODE_STATE_DIR=str(folder / "file" / "x"),
    )
    assert code == 3
    assert (found["settings"]["state"], found["settings"]["remedy"]) == (
        "bad",
        "did you mean limits.max_steps?",
    )
    assert found["sessions"]["state"] == "bad"


def test_the_report_is_lines_with_a_word_for_each_state() -> None:
    done = run([*KIMICODE, "doctor", "--offline"], env={"KIMI_API_KEY": KEY})
    lines = done.stdout.splitlines()
    assert any(line.startswith("✓ ok   git") for line in lines)
    assert any(line.startswith("● note endpoint") for line in lines)
    assert "\x1b" not in done.stdout
