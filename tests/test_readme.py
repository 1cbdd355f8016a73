"""The README keeps its word: its commands and options exist, its links lead somewhere, its figures are the code's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kimicode.core.plan import Limits

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_links() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "AGENTS.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_options_and_commands() -> None:
    def help_of(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kimicode", *args, "--help"], capture_output=True, text=True
        )
        return done.stdout

    overview, fix = help_of(), help_of("fix")
    for option in set(re.findall(r"`[^`]*?(--[a-z][a-z-]+)", TEXT)) - {"--live", "--origin"}:
        assert option in fix, option
    for command in set(re.findall(r"kimicode (fix|demo|resume|sessions|config|doctor|models)\b", TEXT)):
        assert f"\n  {command} " in overview, command
    assert "--live" in help_of("demo") and "--origin" in help_of("config", "show")


def test_limits_and_make_targets() -> None:
    limits = Limits()
    assert f"({limits.max_steps} steps, ${limits.max_cost:.0f}, {limits.max_time / 3600:.0f} h)" in TEXT  # type: ignore[operator]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)$", TEXT, re.M):
        assert f"\n{target}:" in makefile


def test_the_map_in_agents_md() -> None:
    text = (ROOT / "AGENTS.md").read_text()
    assert text.count("\n") <= 80
    for folder in re.findall(r"^  (\w+)/", text, re.M) + re.findall(r"^  \w+/ (\w+)/", text, re.M):
        assert (ROOT / "kimicode" / folder).is_dir(), folder
