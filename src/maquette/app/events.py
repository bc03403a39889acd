"""News for whoever listens: what happens in worker threads reaches event streams (server-sent
events, WHATWG HTML 9.2) in order.

A listener that does not keep up is cut off rather than waited for; a stream begins with what there
is, so reconnecting loses nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from maquette.types import JsonObject

BACKLOG = 1000  # events that a slow listener may be behind
HEARTBEAT = 10.0  # seconds between comments that keep a silent connection open

Event = tuple[str, JsonObject]  # name, data


@dataclass(eq=False)
class _Listener:
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(BACKLOG))
    cut: bool = False

    def put(self, event: Event | None) -> None:
        """Runs in the listener's loop."""
        if event is None or self.queue.full():
            self.cut = True
            while self.queue.full():
                self.queue.get_nowait()
            event = None
        self.queue.put_nowait(event)


class News:
    """Events from any thread to any number of streams."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, name: str, data: JsonObject) -> None:
        """Tell all listeners; never waits."""
        self._send((name, data))

    def close(self) -> None:
        """End all streams, also those that begin later."""
        self._closed = True
        self.interrupt()

    def interrupt(self) -> None:
        """End the streams that there are; who begins again is told what there is."""
        self._send(None)

    def follow(self) -> None:
        """Pass on what other processes publish; here are none."""

    async def listen(
        self,
        snapshot: Callable[[], list[Event]],
        wanted: Callable[[Event], bool],
        last: Callable[[Event], bool],
    ) -> AsyncIterator[bytes]:
        """A stream: the snapshot, then the wanted events, until the last one. What happens while
        the snapshot is made comes after it.
        """
        listener = _Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            for event in await asyncio.to_thread(snapshot):
                yield encode(*event)
                if last(event):
                    return
            while not self._closed and not listener.cut:
                try:
                    upcoming = await asyncio.wait_for(listener.queue.get(), HEARTBEAT)
                except asyncio.TimeoutError:  # not the builtin one before Python 3.11
                    yield b": still here\n\n"
                    continue
                if upcoming is None:
                    return
                if wanted(upcoming):
                    yield encode(*upcoming)
                    if last(upcoming):
                        return
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _send(self, event: Event | None) -> None:
        with self._lock:
            for listener in list(self._listeners):
                if listener.loop.is_closed():
                    self._listeners.discard(listener)
                else:
                    listener.loop.call_soon_threadsafe(listener.put, event)


def encode(name: str, data: JsonObject) -> bytes:
    """One event as it goes over the wire; JSON has no line breaks, so its data is one line."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
