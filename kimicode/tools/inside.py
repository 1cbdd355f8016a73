# ruff: noqa: UP031, PTH112, PTH114, PTH118
"""The program behind `search` and `list_files`: it runs inside the sandbox, as `python3 -c`, never on the host.

Usage: list PATH GLOB DEPTH MAX
       search PATH GLOB CONTEXT FLAGS PATTERN [RIPGREP_PATTERN]   FLAGS: "i" ignores case, "n" uses no ripgrep
Needs Python 3.5 and only modules that python3-minimal has, so: type comments, no f-strings. The universe is what
git tracks or would track beneath PATH; what git ignores is seen when PATH itself names it. The matcher is always
Python's re; ripgrep only says quickly which files need not be opened, so that the answer is the same without it.
"""

import os
import re
import stat
import subprocess
import sys

MAX_MATCHES = 100
MAX_PER_FILE = 30
MAX_WIDTH = 300
MAX_OUT = 20000
MAX_FILE = 16 << 20
MAX_COUNTED = 4 << 20
SKIPPED = (b".git", b"__pycache__", b"node_modules", b".venv", b".tox", b".mypy_cache", b".pytest_cache")


def git(arguments):  # type: (list[bytes]) -> bytes | None
    """Output of a git command; None when it fails or there is no git."""
    command = [b"git", b"-c", b"safe.directory=*", b"-c", b"core.fsmonitor=false", b"--literal-pathspecs"]
    try:
        done = subprocess.run(command + arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def walk(top):  # type: (bytes) -> list[bytes]
    found = []  # type: list[bytes]
    for folder, names, files in os.walk(top):
        names[:] = sorted(n for n in names if n not in SKIPPED)
        found.extend(os.path.join(folder, name) for name in files)
    return found


def regular(path):  # type: (bytes) -> bool
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def universe(path):  # type: (bytes) -> list[bytes]
    """Regular files at or beneath `path`, sorted; none of them through a symbolic link."""
    if regular(path):
        return [path]
    listed = None
    if not path.startswith(b"/"):
        listed = git([b"ls-files", b"-co", b"--exclude-standard", b"-z", b"--", path or b"."])
    if not listed:
        # No git, or a folder that git ignores but the model named.
        ignored = listed is not None and not path
        names = [] if ignored else [n[2:] if n.startswith(b"./") else n for n in walk(path or b".")]
    else:
        names = []
        for name in set(listed.split(b"\0")):
            if name and os.path.isdir(name) and not os.path.islink(name):
                names.extend(walk(name.rstrip(b"/")))  # a submodule or a repository inside
            elif name:
                names.append(name)
    return sorted(n for n in names if regular(n))


def braces(pattern):  # type: (str) -> list[str]
    """ "*.{a,b}" -> ["*.a", "*.b"]"""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    ends = pattern[: found.start()], pattern[found.end() :]
    return [whole for part in found.group(1).split(",") for whole in braces(ends[0] + part + ends[1])]


def glob_regex(pattern):  # type: (str) -> str
    """A glob as a regular expression: "*" stops at "/", "**" does not; without "/" it means the file's name."""
    if pattern.endswith("/"):
        pattern += "**"
    text = pattern.lstrip("/") if "/" in pattern else "**/" + pattern
    out, at = "", 0
    while at < len(text):
        if text.startswith("**/", at):
            out, at = out + "(?:.*/)?", at + 3
        elif text.startswith("**", at):
            out, at = out + ".*", at + 2
        elif text[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif text[at] == "?":
            out, at = out + "[^/]", at + 1
        elif text[at] == "[" and "]" in text[at + 2 :]:
            end = text.index("]", at + 2)
            inner = text[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out, at = out + "[" + ("^" + inner[1:] if inner[0] in "!^" else inner) + "]", end + 1
        else:
            out, at = out + re.escape(text[at]), at + 1
    return out


def selected(names, glob):  # type: (list[bytes], str) -> list[bytes]
    if not glob:
        return names
    parts = [glob_regex(part) for part in braces(glob.lstrip("!")) if part]
    form = re.compile("(?:" + "|".join(parts) + r")\Z", re.DOTALL)
    wanted = not glob.startswith("!")
    return [n for n in names if bool(form.match(show(n))) == wanted]


def show(name):  # type: (bytes) -> str
    return name.decode("utf-8", "surrogateescape")


def read(name, limit):  # type: (bytes, int) -> bytes | None
    """Content of a text file; None when it is binary, larger than `limit` or not to be read."""
    try:
        if os.lstat(name).st_size > limit:
            return None
        with open(name, "rb") as file:
            data = file.read()
    except OSError:
        return None
    return None if b"\0" in data else data


def size(count):  # type: (int) -> str
    if count < 1024:
        return "%d B" % count
    return "%.1f KB" % (count / 1024) if count < 1 << 20 else "%.1f MB" % (count / 1048576)


def measure(name):  # type: (bytes) -> str
    data = read(name, MAX_COUNTED)
    if data is None:
        try:
            return size(os.lstat(name).st_size)
        except OSError:
            return "gone"
    lines = data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0)
    return "1 line" if lines == 1 else "%d lines" % lines


def entries(names, top, depth):  # type: (list[bytes], bytes, int) -> list[tuple[bytes, int]]
    """[(path, 0)] for a file, [(folder + "/", files in it)] for a folder at the limit of `depth`."""
    start = len(top) + 1 if top else 0
    found = {}  # type: dict[bytes, int]
    for name in names:
        parts = name[start:].split(b"/")
        if depth and len(parts) > depth:
            folder = name[:start] + b"/".join(parts[:depth]) + b"/"
            found[folder] = found.get(folder, 0) + 1
        else:
            found[name] = 0
    return sorted(found.items())


def list_files(path, glob, depth, limit):  # type: (bytes, str, int, int) -> list[str]
    if path and not os.path.lexists(path):
        return ["missing"]
    every = universe(path)
    names = selected(every, glob)
    if regular(path):
        return ["found 1 1 0", show(path) + "  " + measure(path)]
    start = depth
    shown = entries(names, path, depth)
    while len(shown) > limit and depth != 1:
        depth = depth - 1 if depth else max(1, max(n.count(b"/") for n in names))
        shown = entries(names, path, depth)
    note = depth if depth != start else 0
    out = ["found %d %d %d" % (len(names), len(every), note)]
    for name, count in shown[:limit]:
        tail = ("%d files" % count if count > 1 else "1 file") if count else measure(name)
        out.append(show(name) + "  " + tail)
    if len(shown) > limit:
        out.append("[%d more entries: give a path or a glob]" % (len(shown) - limit))
    return out


def prefilter(names, flags, pattern):  # type: (list[bytes], str, str) -> list[bytes]
    """The files that can match, by ripgrep; all of them when it is not there or does not like the pattern."""
    found = set()  # type: set[bytes]
    command = ["rg", "--no-config", "-l", "-0", "-a", "--no-ignore", "--hidden", "--no-messages"]
    command += ["-i"] if "i" in flags else []
    command = [*command, "--regexp=" + pattern, "--"]
    for at in range(0, len(names), 2000):
        try:
            done = subprocess.run(
                [os.fsencode(word) for word in command]
                + [b"./" + n if n[:1] != b"/" else n for n in names[at : at + 2000]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return names
        if done.returncode not in (0, 1):
            return names
        found.update(n[2:] if n.startswith(b"./") else n for n in done.stdout.split(b"\0") if n)
    return [n for n in names if n in found]


def clip(line, at):  # type: (str, int) -> str
    """A line of at most MAX_WIDTH characters that shows the match."""
    if len(line) <= MAX_WIDTH:
        return line
    start = min(max(0, at - MAX_WIDTH // 3), len(line) - MAX_WIDTH)
    left = "[...]" if start else ""
    return left + line[start : start + MAX_WIDTH] + ("[...]" if start + MAX_WIDTH < len(line) else "")


def matches(form, data):  # type: (re.Pattern[str], bytes) -> tuple[list[str], dict[int, int]]
    """Lines of a file, and {index of a line that matches: column of its first match}."""
    mark = b"\xef\xbb\xbf"
    lines = (data[3:] if data.startswith(mark) else data).decode("utf-8", "surrogateescape").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    lines = [line[:-1] if line.endswith("\r") else line for line in lines]
    found = {}
    for index, line in enumerate(lines):
        hit = form.search(line)
        if hit:
            found[index] = hit.start()
    return lines, found


def section(lines, found, context, room):  # type: (list[str], dict[int, int], int, int) -> tuple[list[str], int]
    """Up to `room` matches with context, as "12:text" and "13-text", and how many matches that are."""
    out = []  # type: list[str]
    last, shown = -1, 0
    hits = sorted(found)[:room]
    for place, index in enumerate(hits):
        shown += 1
        start = max(last + 1, index - context)
        if context and last >= 0 and start > last + 1:
            out.append("--")
        limit = hits[place + 1] if place + 1 < len(hits) else len(lines)
        for at in range(start, min(index + context + 1, limit, len(lines))):
            out.append("%d%s%s" % (at + 1, ":" if at in found else "-", clip(lines[at], found.get(at, 0))))
            last = at
    return out, shown


def search(path, glob, context, flags, pattern, quick):  # type: (bytes, str, int, str, str, str) -> list[str]
    if path and not os.path.lexists(path):
        return ["missing"]
    try:
        form = re.compile(pattern, re.IGNORECASE if "i" in flags else 0)
    except re.error as error:
        return ["bad " + str(error)]
    names = selected(universe(path), glob)
    candidates = prefilter(names, flags, quick) if quick and "n" not in flags else names
    out, rest = [], []  # type: list[str], list[str]
    total = files = shown = used = 0
    for name in candidates:
        data = read(name, MAX_FILE)
        if data is None:
            continue
        lines, found = matches(form, data)
        if not found:
            continue
        total, files = total + len(found), files + 1
        room = min(MAX_MATCHES - shown, MAX_PER_FILE if len(candidates) > 1 else MAX_MATCHES)
        part, count = section(lines, found, context, room) if used < MAX_OUT else ([], 0)
        if not count:
            rest.append("%s %d" % (show(name), len(found)))
            continue
        out += [show(name), *part]
        used += sum(len(line) + 1 for line in part)
        shown += count
        if len(found) > count:
            out.append("[%d more matches in this file]" % (len(found) - count))
    return (
        ["found %d %d %d %d" % (total, files, shown, len(names))] + out + ["rest " + one for one in rest[:20]]
    )


def main(arguments):  # type: (list[str]) -> int
    what, path, glob = arguments[0], os.fsencode(arguments[1]), arguments[2]
    if what == "list":
        out = list_files(path, glob, int(arguments[3]), int(arguments[4]))
    else:
        out = search(path, glob, int(arguments[3]), arguments[4], arguments[5], [*arguments, ""][6])
    sys.stdout.buffer.write("\n".join(out).encode("utf-8", "surrogateescape") + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
