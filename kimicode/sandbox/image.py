"""Images: the default one, built on first use from sandbox/Dockerfile, or the user's, pulled when missing."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from kimicode.errors import KimicodeError, SandboxUnavailable
from kimicode.resources import sandbox_file
from kimicode.sandbox.engine import Engine, EngineError, find_engine

BASE = "debian:bookworm-slim"
Progress = Callable[[str], None]
"""Gets one line at a time."""

_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def default_image() -> str:
    """Tag of the default image: another Dockerfile, another tag."""
    return "kimicode-sandbox:" + hashlib.sha256(sandbox_file("Dockerfile").read_bytes()).hexdigest()[:12]


async def ensure_image(
    engine: Engine,
    reference: str,
    *,
    progress: Progress = lambda line: None,
    environ: Mapping[str, str] | None = None,
    fetch: bool = True,
) -> dict[str, Any]:
    """The engine's description of `reference`; with `fetch`, builds the default image or pulls any other first.

    Raises SandboxUnavailable with what the engine said last.
    """
    found = await _inspect(engine, reference)
    if found is None and not fetch:
        raise SandboxUnavailable(
            f"The image {reference} is not here yet.", hint="Make it once: python -m kimicode.sandbox.image"
        )
    if found is None:
        if reference == default_image():
            progress(f"Building the sandbox image {reference} (once; some minutes).")
            await _follow(
                _build(engine, reference, os.environ if environ is None else environ), reference, progress
            )
            await _forget_stage(engine)
        else:
            progress(f"Pulling the image {reference}.")
            await _follow(_pull(engine, reference), reference, progress)
        found = await _inspect(engine, reference)
    if found is None:
        raise SandboxUnavailable(f"The image {reference} is missing although the engine reported success.")
    return found


async def _inspect(engine: Engine, reference: str) -> dict[str, Any] | None:
    answer = await engine.call("GET", f"/images/{reference}/json", allow=(404,))
    return dict(answer.json()) if answer.status == 200 else None


def _build(engine: Engine, tag: str, environ: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
    """CA bundle and index settings go to the first stage of the Dockerfile only."""
    arguments = {
        name: environ[name] for name in (*_INDEX_VARIABLES, *_PROXY_VARIABLES) if _reachable(environ, name)
    }
    query = {"t": tag, "rm": "1", "forcerm": "1", "buildargs": json.dumps(arguments)}
    return engine.lines("POST", "/build", query=query, data=_context(environ))


def _reachable(environ: Mapping[str, str], name: str) -> bool:
    """Folders of this machine and its loopback mean nothing inside a build."""
    value = environ.get(name, "")
    return bool(value) and not any(word in value for word in ("file:", "127.0.0.1", "localhost", "::1"))


def _context(environ: Mapping[str, str]) -> bytes:
    bundle = b""
    for name in _CA_VARIABLES:
        path = Path(environ.get(name) or "/nonexistent")
        if path.is_file():
            bundle = path.read_bytes()
            break
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in (("Dockerfile", sandbox_file("Dockerfile").read_bytes()), ("ca.crt", bundle)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _pull(engine: Engine, reference: str) -> AsyncIterator[dict[str, Any]]:
    """Without a tag the engine would pull every tag there is."""
    named = "@" in reference or ":" in reference.rpartition("/")[2]
    return engine.lines(
        "POST", "/images/create", query={"fromImage": reference if named else reference + ":latest"}
    )


async def _follow(lines: AsyncIterator[dict[str, Any]], reference: str, progress: Progress) -> None:
    last: list[str] = []
    try:
        async for line in lines:
            if error := line.get("error"):
                raise EngineError(str(error))
            text = str(
                line.get("stream") or ("" if line.get("progress") else line.get("status")) or ""
            ).strip()
            if text:
                progress(text)
                last = [*last, text][-5:]
    except EngineError as error:
        raise SandboxUnavailable(
            f"The image {reference} cannot be had: {error}" + ("\n" + "\n".join(last) if last else ""),
            hint="Name another image with --image, pull it by hand (docker pull), or make the base image without a "
            "registry: sandbox/base-image.sh. --sandbox bwrap needs no image.",
        ) from error


async def _forget_stage(engine: Engine) -> None:
    """Remove the stage that saw the CA bundle and index settings; a cache that is lost costs one download."""
    filters = json.dumps({"dangling": ["true"], "label": ["kimicode.stage=node"]})
    try:
        await engine.call("POST", "/images/prune", query={"filters": filters}, timeout=120)
    except EngineError:
        pass


async def _main() -> int:
    """`python -m kimicode.sandbox.image`: build the default image where it is missing."""
    try:
        engine, _ = await find_engine(os.environ)
        await ensure_image(
            engine, default_image(), progress=lambda line: print(line, file=sys.stderr, flush=True)
        )
    except KimicodeError as error:
        print(f"{error}\n{error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    print(default_image())
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(_main()))
