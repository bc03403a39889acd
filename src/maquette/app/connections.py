"""Connections as such, before there is a request: they are not waited for endlessly, and one
address does not take all of them.

uvicorn ends a connection that is idle after an answer; this adds a limit to the time in which the
head of a request has to come, from the connection's first moment on.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from maquette.app.settings import Limits


class BoundedConnection(H11Protocol):
    """A connection of uvicorn that has to say what it wants in time."""

    def __init__(
        self,
        *arguments: Any,
        limits: Limits,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._since = self.loop.time()
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def waits_for_head(self) -> bool:
        """Whether no request is under way."""
        return self.conn.their_state is h11.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, if the address may have another connection."""
        super().connection_made(transport)
        self._watch()
        self._make_place()

    def data_received(self, data: bytes) -> None:
        """Note whether the head of a request is complete, or another one has begun."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if not self.waits_for_head:
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.head_seconds, self.transport.close)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _make_place(self) -> None:
        """Close one connection of an address that has too many: the oldest that says nothing, or
        this one.
        """
        address = _address_of(self)
        same = [c for c in self.connections if address and _address_of(c) == address]
        if len(same) <= self._limits.connections_per_address:
            return
        silent = [c for c in same if isinstance(c, BoundedConnection) and c.waits_for_head]
        oldest = min(silent, key=lambda c: c._since, default=self)
        oldest.transport.close()
        self.connections.discard(oldest)


def _address_of(connection: object) -> str | None:
    """Where a connection comes from; None where its kind does not tell."""
    client = getattr(connection, "client", None)
    return client[0] if client else None
