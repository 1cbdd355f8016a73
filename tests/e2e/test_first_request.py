"""What is loaded when the first request arrives: the promise behind the time to the first request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.world import World

DRIVER = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        with open(report, "a") as file:
            file.write(json.dumps(sorted(sys.modules)) + "\\n")
        body = b'{"error": {"message": "no", "type": "invalid_authentication_error"}}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

report, repo = sys.argv[1:]
server = HTTPServer(("127.0.0.1", 0), Endpoint)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.argv = [
    "kimicode", "fix", "Do it.", "--repo", repo, "--sandbox", "host", "--check", "none", "--setup", "none", "--yes",
    "--base-url", f"http://127.0.0.1:{server.server_address[1]}/v1",
]
from kimicode.__main__ import main

main()
"""


def test_nothing_heavy_is_imported_by_the_first_request(tmp_path: Path) -> None:
    world = World(tmp_path).make()
    report = tmp_path / "modules"
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(report), str(world.repo)],
        env=world.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr  # the key was refused: this run has ended after one request
    requests = report.read_text().splitlines()
    assert len(requests) == 1
    modules = set(json.loads(requests[0]))
    assert not {"rich", "git", "docker", "prompt_toolkit", "readline"} & modules
    assert {"openai", "kimicode.sandbox.host"} <= modules
    # The backend that was not asked for, and all that happens after the model's last word.
    late = {"sandbox.docker", "sandbox.bubblewrap", "app.verification", "app.publication", "checks.verdict"}
    assert not {f"kimicode.{name}" for name in late} & modules
    # models/library.py puts off the types of endpoints that nobody asks: there are more than a thousand.
    assert sum(name.startswith("openai.types.") for name in modules) < 100
