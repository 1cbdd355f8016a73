"""Environment layers: what a setup command made inside a checkout and git does not track, kept and placed again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from kimicode.core.message import Frozen

FORMAT = 1
_FILES = "files"
_FACTS = "layer.json"
_HOME = "home"
_DOWNLOADS = frozenset({".cache", ".npm"})
"""Of a home folder: what package managers download and unpack again; nothing runs from there."""
_ARGUMENTS = 500
"""Sources of one `cp`: far below the limit of a command line."""


def environment_key(image: str, command: str, blobs: Mapping[str, str]) -> str:
    """Hex digest of what an environment depends on.

    `image`: digest of the base image (for bubblewrap: what names the host's toolchain). `command`: the setup
    line. `blobs`: path -> blob oid of every manifest and lock file (manifests.py).
    """
    text = json.dumps([FORMAT, image, command, sorted(blobs.items())], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Layer(Frozen):
    """A kept layer."""

    key: str
    folder: str
    """Absolute path of its files, laid out as in a checkout."""
    paths: tuple[str, ...]
    """Its roots, repository-relative: whatever lies beneath them is not the agent's and is never harvested."""
    image: str = ""
    interpreter: str = ""
    """The Python inside the checkout that it brings, "" when it has none."""
    output: str = ""
    home: str = ""
    """Absolute path of what setup left in its home folder (modules of Go, crates), "" where an image holds it."""
    left_out: tuple[str, ...] = ()
    """Sockets, pipes and devices, which cannot be kept."""


class LayerStore:
    """Layers in one folder, one per key. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def load(self, key: str) -> Layer | None:
        """The layer of a key, None when there is none or it is damaged."""
        return await asyncio.to_thread(self._load, key)

    def _load(self, key: str) -> Layer | None:
        folder = self._folder / key
        try:
            facts = json.loads((folder / _FACTS).read_bytes())
            if facts.pop("format", None) != FORMAT:
                return None
            home = folder / _HOME
            places = {"folder": str(folder / _FILES), "home": str(home) if home.is_dir() else ""}
            layer = Layer.model_validate({**facts, **places})
        except (OSError, ValueError, AttributeError):
            return None
        return layer if layer.key == key and Path(layer.folder).is_dir() else None

    async def collect(
        self,
        key: str,
        work: Path,
        tracked: Collection[str],
        *,
        image: str = "",
        interpreter: str = "",
        output: str = "",
        home: Path | None = None,
    ) -> Layer:
        """Keep what is in `work` and not among the `tracked` paths as the layer of `key`.

        The layer appears at once and whole, or not at all. When another process was faster, its layer is
        returned. `.git` and compiled Python beside tracked sources are left out. `home`: a home folder to keep
        with it, downloads excepted. Raises OSError.
        """
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        made = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._folder, prefix=".new-"))
        try:
            files = made / _FILES
            await asyncio.to_thread(files.mkdir)
            paths, odd = await asyncio.to_thread(lambda: find_untracked(work, tracked))
            await asyncio.to_thread(_make_parents, work, files, paths)
            await copy_all([(work / path, files / path) for path in paths])
            odd = [*odd, *await asyncio.to_thread(_drop_special, files)]
            if home is not None:
                await asyncio.to_thread((made / _HOME).mkdir)
                kept = [path for path in sorted(home.iterdir()) if path.name not in _DOWNLOADS]
                await copy_all([(path, made / _HOME / path.name) for path in kept])
                odd = [*odd, *(f"~/{path}" for path in _drop_special(made / _HOME))]
            if interpreter and not os.path.lexists(files / interpreter):
                interpreter = ""
            layer = Layer(
                key=key,
                folder=str(self._folder / key / _FILES),
                paths=tuple(paths),
                image=image,
                interpreter=interpreter,
                output=output,
                home=str(self._folder / key / _HOME) if home is not None else "",
                left_out=tuple(odd),
            )
            facts = {"format": FORMAT, **layer.model_dump(exclude={"folder", "home"})}
            await asyncio.to_thread((made / _FACTS).write_text, json.dumps(facts))
            return await asyncio.to_thread(self._publish, made, key) or layer
        finally:
            await asyncio.to_thread(shutil.rmtree, made, True)

    def _publish(self, made: Path, key: str) -> Layer | None:
        """Move a finished layer into place; the kept one when another process has put it there."""
        target = self._folder / key
        for _ in range(3):
            try:
                made.rename(target)
                return None
            except OSError:
                kept = self._load(key)
                if kept is not None and kept.image == _image_of(made):
                    return kept
                # Damaged, or of an image that is gone: move it aside in one step, then delete it.
                aside = Path(tempfile.mkdtemp(dir=self._folder, prefix=".old-"))
                try:
                    target.rename(aside / "layer")
                except OSError:
                    pass
                shutil.rmtree(aside, ignore_errors=True)
        made.rename(target)
        return None

    async def place(self, layer: Layer, work: Path) -> tuple[str, ...]:
        """Copy a layer into a checkout that nothing uses yet; returns the paths that were placed.

        What the tree has itself is never overwritten: only what is missing is placed. A folder of the layer
        that the tree has as a symlink or file is left out, so nothing is ever written outside `work`. Raises
        OSError.
        """
        pairs = await asyncio.to_thread(lambda: list(_missing(Path(layer.folder), work)))
        await copy_all(pairs)
        return tuple(str(target.relative_to(work)) for _, target in pairs)

    async def place_home(self, layer: Layer, home: Path) -> None:
        """Copy what setup left in its home folder into a new one. Raises OSError."""
        if layer.home:
            await asyncio.to_thread(home.mkdir, mode=0o700, parents=True, exist_ok=True)
            await copy_all(await asyncio.to_thread(lambda: list(_missing(Path(layer.home), home))))

    async def forget(self, keep: int = 10) -> None:
        """Delete all but the `keep` layers that were made last, and what crashed processes left behind."""
        await asyncio.to_thread(self._forget, keep)

    def _forget(self, keep: int) -> None:
        try:
            with os.scandir(self._folder) as entries:
                found = [(e.stat(follow_symlinks=False).st_mtime, e.name) for e in entries if e.is_dir()]
        except OSError:
            return
        layers = sorted((m, n) for m, n in found if not n.startswith("."))
        newest = max((m for m, _ in found), default=0.0)
        doomed = [n for _, n in layers[: max(0, len(layers) - keep)]]
        doomed += [n for m, n in found if n.startswith(".") and m < newest - 86_400]
        for name in doomed:
            shutil.rmtree(self._folder / name, ignore_errors=True)


def find_untracked(work: Path, tracked: Collection[str]) -> tuple[list[str], list[str]]:
    """(roots of what git does not track in `work`, special files among them), both relative and sorted.

    A folder without tracked files is one root; beside tracked files each untracked one is a root of its own.
    Symlinks are entries, never followed.
    """
    names = set(tracked)
    folders = {""}
    for path in names:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    roots: list[str] = []
    odd: list[str] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(work / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if path in names or entry.name == ".git" or entry.name == "__pycache__":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    (waiting if path in folders else roots).append(path)
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    roots.append(path)
                else:
                    odd.append(path)
    return sorted(roots), sorted(odd)


def _missing(layer: Path, work: Path) -> Iterator[tuple[Path, Path]]:
    """(source, target) of each entry of the layer that the checkout lacks."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(layer / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                target = work / path
                try:
                    mode = target.lstat().st_mode
                except FileNotFoundError:
                    yield layer / path, target
                    continue
                if stat.S_ISDIR(mode) and entry.is_dir(follow_symlinks=False):
                    waiting.append(path)


def _make_parents(work: Path, files: Path, paths: Sequence[str]) -> None:
    for parent in sorted({path.rpartition("/")[0] for path in paths} - {""}):
        (files / parent).mkdir(parents=True, exist_ok=True)
        shutil.copymode(work / parent, files / parent, follow_symlinks=False)


def _drop_special(folder: Path) -> list[str]:
    """Delete what is neither file, folder nor symlink, and take set-uid bits from the rest."""
    dropped: list[str] = []
    for base, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(base, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                path.unlink()
                dropped.append(str(path.relative_to(folder)))
            elif mode & (stat.S_ISUID | stat.S_ISGID):
                path.chmod(stat.S_IMODE(mode) & 0o777)
    return dropped


async def copy_all(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Copy files, folders and symlinks to targets that do not exist, sharing blocks where the file system can.

    Modes and times are kept; hard links become files of their own, so no checkout can reach another's. Raises
    OSError when something could not be copied.
    """
    groups: dict[Path, list[Path]] = defaultdict(list)
    for source, target in pairs:
        if source.name != target.name:
            raise ValueError(f"{source} cannot be copied under another name")
        groups[target.parent].append(source)
    for folder, sources in groups.items():
        for at in range(0, len(sources), _ARGUMENTS):
            await _copy(sources[at : at + _ARGUMENTS], folder)


async def _copy(sources: Sequence[Path], folder: Path) -> None:
    """One `cp`: it walks large trees several times faster than Python, and knows how to share blocks."""
    argv = ["cp", "-R", "-P", "--preserve=mode,timestamps", "--reflink=auto", "--no-target-directory"]
    # One source may be an entry of any name; several go into the folder by their names.
    where = [str(sources[0]), str(folder / sources[0].name)] if len(sources) == 1 else []
    if not where:
        argv[-1] = f"--target-directory={folder}"
        where = [str(source) for source in sources]
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            "--",
            *where,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except FileNotFoundError:
        await asyncio.to_thread(_copy_slowly, sources, folder)
        return
    try:
        _, errors = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    if process.returncode == 0:
        return
    if b"unrecognized option" in errors or b"illegal option" in errors:
        await asyncio.to_thread(_copy_slowly, sources, folder)  # the cp of macOS and of busybox
        return
    raise OSError(f"the environment layer cannot be copied: {errors.decode('utf-8', 'replace')[-2_000:]}")


def _copy_slowly(sources: Sequence[Path], folder: Path) -> None:
    for source in sources:
        target = folder / source.name
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=_special_names)
        elif not target.exists() or target.is_symlink():
            shutil.copy2(source, target, follow_symlinks=False)


def _special_names(folder: str, names: list[str]) -> set[str]:
    def odd(name: str) -> bool:
        mode = os.lstat(f"{folder}/{name}").st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))

    return {name for name in names if odd(name)}


def _image_of(made: Path) -> str:
    try:
        return str(json.loads((made / _FACTS).read_bytes()).get("image", ""))
    except (OSError, ValueError, AttributeError):
        return ""
