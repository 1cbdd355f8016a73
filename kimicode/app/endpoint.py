"""The endpoint of a run: which model, which key, and the client that is warmed up while other things start."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from typing import Protocol

from kimicode.config import Config
from kimicode.core import event as ev
from kimicode.core.message import ModelSpec
from kimicode.core.ports import Model
from kimicode.models.catalog import DEFAULT_BASE_URL, Target, resolve
from kimicode.models.chat import ChatModel
from kimicode.models.keys import Key, find_key
from kimicode.models.wrap import Retrying
from kimicode.session.session import Session


class Connection(Protocol):
    """Where a run's model is."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def base_url(self) -> str: ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not reach the log or the model."""
        ...

    def model(self, session: Session) -> Model: ...


class Endpoint:
    """The model's client, whose library is imported in a thread while git and the sandbox work."""

    def __init__(self, target: Target, key: Key) -> None:
        self.spec = target.spec
        self.base_url = target.base_url
        self.secrets = (key.value,) if key.source else ()
        self._client = ChatModel(target, key)
        threading.Thread(target=self._warm, daemon=True).start()

    @classmethod
    def find(cls, config: Config, environ: MutableMapping[str, str]) -> Endpoint:
        """Raises KeyMissing or ConfigError before anything is made. `environ` loses every model key."""
        model = config.model
        # A named backend has its own address, unless the user gave another one than the default.
        url = "" if model.backend and model.base_url == DEFAULT_BASE_URL else model.base_url
        target = resolve(model.id, url, backend=model.backend, window=model.context_window or 0)
        key = find_key(environ, target)
        for name in key.remove:
            environ.pop(name, None)
        return cls(target, key)

    def _warm(self) -> None:
        try:
            self._client.warm()
        except Exception:
            # The first request does the same and reports it where somebody listens.
            return

    def model(self, session: Session) -> Model:
        """The client under the one retry policy, which tells the session when it waits."""
        return Retrying(
            self._client,
            on_wait=lambda seconds, reason: session.emit(ev.RetryWaiting(seconds=seconds, reason=reason)),
        )
