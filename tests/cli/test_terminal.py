"""What a person sees: a pseudo terminal, its status line, its questions, its state afterwards."""

from __future__ import annotations

import os
import re
import signal

import pytest
from wcwidth import wcswidth

from tests.cli.programs import SCRIPTED, Terminal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")


def test_the_status_line_is_rewritten_and_gone_at_the_end() -> None:
    with Terminal([*SCRIPTED, "ok", "text"], columns=120) as terminal:
        assert terminal.finish() == 0
    footer = r"kimi-k2\.6 · step 1 · ctx 4% · cached 80% · \$0\.031/5\.00"
    assert re.search(footer, terminal.text)
    assert not any(re.search(footer, line) for line in terminal.screen)
    assert "● edit_file src/calc.py  +4 -1" in terminal.screen
    assert terminal.screen[-1] == ""
    assert "\x1b]0;" not in terminal.text
    assert "\x1b[32m" in terminal.text


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_nothing_of_ours_is_wider_than_the_terminal(columns: int) -> None:
    with Terminal([*SCRIPTED, "ok", "text"], columns=columns) as terminal:
        assert terminal.finish() == 0
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part) for part in re.split(r"[\r\n]+", terminal.text)]
    free = ("git ", "cost ", "branch ", "session ", "· check", "✓ verified", "· kimi-k2.6 at")
    for line in shown:
        assert wcswidth(line) <= columns or line.strip().startswith(free), line


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true"}])
def test_plain_when_it_is_asked_for(env: dict[str, str]) -> None:
    with Terminal([*SCRIPTED, "ok", "text"], env=env) as terminal:
        assert terminal.finish() == 0
    assert "\x1b" not in terminal.text
    assert "\r" not in terminal.text.replace("\r\n", "")
    assert "● edit_file src/calc.py  +4 -1" in terminal.screen


def test_ctrl_c_once_stops_and_twice_leaves_with_the_terminal_as_it_was() -> None:
    with Terminal([*SCRIPTED, "stubborn", "text"]) as terminal:
        terminal.read_until(lambda text: "READY" in text)
        terminal.type("\x03")
        terminal.read_until(lambda text: "press Ctrl-C again to leave at once" in text)
        terminal.type("\x03")
        assert terminal.finish() == 130
        assert terminal.modes == terminal.before
    with Terminal([*SCRIPTED, "slow", "text"]) as terminal:
        terminal.read_until(lambda text: "READY" in text)
        terminal.type("\x03")
        assert terminal.finish() == 130
        assert terminal.modes == terminal.before
        assert "kimicode resume" in terminal.text
        assert terminal.screen[-1] == ""


def test_a_terminal_that_goes_away_is_a_stop() -> None:
    with Terminal([*SCRIPTED, "slow", "text"]) as terminal:
        terminal.read_until(lambda text: "READY" in text)
        terminal.signal(signal.SIGHUP)
        assert terminal.finish() == 129


def test_questions_enter_means_no() -> None:
    with Terminal([*SCRIPTED, "ask", "json"]) as terminal:
        terminal.read_until(lambda text: text.count("Allow this?") == 1)
        assert "? host command" in terminal.text
        terminal.type("\n")
        terminal.read_until(lambda text: text.count("Allow this?") == 2)
        terminal.type("perhaps\n")
        terminal.read_until(lambda text: "is neither y nor n" in text and text.count("Allow this?") == 3)
        terminal.type("y\n")
        assert terminal.finish() == 0
    assert '"message": "answers [False, True]"' in terminal.text


def test_a_question_can_be_interrupted() -> None:
    with Terminal([*SCRIPTED, "ask", "text"]) as terminal:
        terminal.read_until(lambda text: "Allow this?" in text)
        terminal.type("\x03")
        assert terminal.finish() == 130
        assert terminal.modes == terminal.before


def test_questions_reach_the_terminal_when_stdin_is_a_pipe() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with Terminal([*SCRIPTED, "ask", "json"], stdin=reader) as terminal:
        os.close(reader)
        for count in (1, 2):
            terminal.read_until(lambda text, n=count: text.count("Allow this?") == n)
            terminal.type("y\n")
        assert terminal.finish() == 0
    assert '"message": "answers [True, True]"' in terminal.text


def test_a_missing_key_gets_a_panel_with_three_ways_on() -> None:
    with Terminal([*SCRIPTED, "nokey", "text"], columns=60) as terminal:
        assert terminal.finish() == 3
    text = "\n".join(terminal.screen)
    for part in (
        "KIMI_API_KEY or MOONSHOT_API_KEY is not set",
        "Three ways on:",
        "export KIMI_API_KEY",
        "--base-url",
        "kimicode demo",
    ):
        assert part in text
