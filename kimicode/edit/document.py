"""A text file as lines that keep their bytes: line end per line, BOM, encoding, final newline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kimicode.edit.errors import EditError

BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Line:
    """One line. Only "\\n" ends a line: form feeds, U+2028 and lone "\\r" stay inside `text`."""

    text: str
    eol: str
    """ "\\n", "\\r\\n", or "" at the end of a file without final newline."""


@dataclass(frozen=True, slots=True)
class Document:
    """A decoded file. encode(decode(data)) == data for every text file."""

    lines: tuple[Line, ...]
    bom: bool = False
    encoding: str = "utf-8"
    """ "utf-8", or "latin-1" as a lossless stand-in for any other."""

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def eol(self) -> str:
        """The line end of most lines; "\\n" for a file without any."""
        crlf = sum(line.eol == "\r\n" for line in self.lines)
        return "\r\n" if crlf * 2 > sum(bool(line.eol) for line in self.lines) else "\n"


def is_binary(data: bytes) -> bool:
    """Whether a file is no text: it holds a NUL byte (as UTF-16 does)."""
    return b"\0" in data


def decode(data: bytes, path: str = "") -> Document:
    """Raises EditError for a binary file."""
    if is_binary(data):
        raise EditError(
            f"{path or 'The file'} is binary (it holds NUL bytes) and cannot be edited as text.",
            kind="binary",
            path=path,
        )
    encoding = "utf-8"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"
    bom = text.startswith(BOM)
    return Document(split(text.removeprefix(BOM) if bom else text), bom, encoding)


def encode(document: Document) -> bytes:
    """The bytes of a document."""
    text = "".join(line.text + line.eol for line in document.lines)
    return ((BOM if document.bom else "") + text).encode(document.encoding)


def split(text: str) -> tuple[Line, ...]:
    """Lines of a text."""
    parts = text.split("\n")
    lines = [Line(p[:-1], "\r\n") if p.endswith("\r") else Line(p, "\n") for p in parts[:-1]]
    return (*lines, Line(parts[-1], "")) if parts[-1] else tuple(lines)


def plain_lines(text: str) -> list[str]:
    """Lines of what a model wrote, without line ends; a final newline ends the last line and begins none."""
    parts = text.replace("\r\n", "\n").split("\n")
    if parts and not parts[-1]:
        parts.pop()
    return parts


def join(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)
