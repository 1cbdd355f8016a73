"""Rust keeps tests inside source files: this puts the test modules of one version into another."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ATTRIBUTE = re.compile(r"#\s*\[\s*cfg\s*\(\s*test\s*\)\s*\]")
_MODULE = re.compile(r"(?:\s|#\s*\[[^\]\n]{0,200}\]|pub(?:\s*\([^)\n]{0,100}\))?\s)*mod\s+(\w{1,200})\s*\{")
_LOOSE = re.compile(r"#\s*\[\s*(?:\w+::)*test\b")
_CHARACTER = re.compile(r"'(?:\\(?:[^u]|u\{[0-9a-fA-F_]{1,8}\})[0-9a-fA-F]{0,1}|[^\\'\n])'")


@dataclass(frozen=True, slots=True)
class _Block:
    name: str
    start: int
    end: int


def has_inline_tests(code: str) -> bool:
    """Whether a Rust source has tests of its own."""
    return _LOOSE.search(code) is not None or _ATTRIBUTE.search(code) is not None


def restore(code: bytes, donor: bytes) -> tuple[bytes, bool]:
    """Content of a file of a composed tree (plan.Composition.merge), and whether its tests are surely the donor's.

    `code` comes from the tree whose code counts, `donor` from the one whose tests count. When it is not sure
    the content is `code` as it is, and the path belongs to `unrestored` of the verdict.
    """
    try:
        ours, theirs = code.decode("utf-8"), donor.decode("utf-8")
    except UnicodeDecodeError:
        return code, False
    if not has_inline_tests(ours) and not has_inline_tests(theirs):
        return code, True
    swapped = swap_tests(ours, theirs)
    return (code, False) if swapped is None else (swapped.encode("utf-8"), True)


def swap_tests(code: str, donor: str) -> str | None:
    """`code` with its `#[cfg(test)] mod name { … }` blocks replaced by those of `donor`.

    Blocks that only `code` has go, blocks that only `donor` has are appended. None when the blocks of one of
    the two cannot be told for sure (unbalanced braces, two of one name, tests outside such a module): the file
    is then `unrestored` for the verdict.
    """
    ours, theirs = _blocks(code), _blocks(donor)
    if ours is None or theirs is None:
        return None
    new = {block.name: donor[block.start : block.end] for block in theirs}
    pieces: list[str] = []
    at = 0
    for block in ours:
        pieces += [code[at : block.start], new.pop(block.name, "")]
        at = block.end
    pieces.append(code[at:])
    text = "".join(pieces)
    for added in new.values():
        text = text.rstrip("\n") + "\n\n" + added + "\n"
    return text


def _blocks(code: str) -> list[_Block] | None:
    blank = _without_text(code)
    if blank is None:
        return None
    blocks: list[_Block] = []
    at = 0
    while (found := _ATTRIBUTE.search(blank, at)) is not None:
        module = _MODULE.match(blank, found.end())
        if module is None:
            at = found.end()  # #[cfg(test)] on a use, a function or `mod tests;` (a file of its own)
            continue
        end = _closing(blank, module.end())
        if end is None:
            return None
        blocks.append(_Block(module[1], found.start(), end))
        at = end
    names = [block.name for block in blocks]
    outside = blank
    for block in reversed(blocks):
        outside = outside[: block.start] + outside[block.end :]
    if len(set(names)) != len(names) or _LOOSE.search(outside):
        return None
    return blocks


def _closing(blank: str, at: int) -> int | None:
    depth = 1
    for match in re.compile(r"[{}]").finditer(blank, at):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.end()
    return None


def _without_text(code: str) -> str | None:
    """The source with comments, strings and characters blanked out, every position kept; None when one is open."""
    out: list[str] = []
    at = 0
    interesting = re.compile(r"""//|/\*|"|'|\b(?:br|r|cr)#{0,64}\"""")
    while (found := interesting.search(code, at)) is not None:
        start = found.start()
        end = _end_of_text(code, start, found[0])
        if end is None:
            return None
        out += [code[at:start], " " * (end - start)]
        at = end
    out.append(code[at:])
    return "".join(out)


def _end_of_text(code: str, start: int, opened: str) -> int | None:
    """Where the comment, string or character that begins at `start` ends."""
    if opened == "//":
        end = code.find("\n", start)
        return len(code) if end < 0 else end
    if opened == "/*":
        depth = 0
        for match in re.compile(r"/\*|\*/").finditer(code, start):
            depth += 1 if match[0] == "/*" else -1
            if depth == 0:
                return match.end()
        return None
    if opened == '"':
        string = re.compile(r'(?:[^"\\]|\\.)*"', re.S).match(code, start + 1)
        return string.end() if string else None
    if opened == "'":
        character = _CHARACTER.match(code, start)
        return character.end() if character else start + 1  # else a lifetime
    hashes = opened.count("#")
    end = code.find('"' + "#" * hashes, start + len(opened))
    return None if end < 0 else end + 1 + hashes
