"""News between processes: what one publishes is a row in the database, which the others read twice
a second. Progress is not published but noted with the lease of a job.
"""

from __future__ import annotations

import contextlib
import json
import threading

from sqlalchemy.exc import OperationalError

from maquette.app.events import News
from maquette.app.store import Store
from maquette.types import JsonObject

INTERVAL = 0.5  # seconds between two looks
KEPT = 300.0  # seconds, for readers that are late


class SharedNews(News):
    """The news of all processes; only who follows hears them."""

    def __init__(self, store: Store, progress: dict[str, JsonObject]) -> None:
        super().__init__()
        self._store = store
        self._progress = progress
        self._over = threading.Event()
        self._last: int | None = self._newest()  # that was passed on; None = some were missed

    def publish(self, name: str, data: JsonObject) -> None:
        """Tell all processes. What cannot be noted is not told: listeners begin again when the
        database is back.
        """
        if name == "progress":
            return
        # one after the other, so that a reader never sees a row before an earlier one
        with contextlib.suppress(OperationalError), self._store.transaction():
            self._store.run(
                "INSERT INTO news (name, data, told) "
                f"VALUES (:name, :data, {self._store.database.clock})",
                name=name,
                data=json.dumps(data),
            )

    def follow(self) -> None:
        """Pass on what all processes publish, until closed."""
        while not self._over.wait(INTERVAL):
            try:
                if self._last is None:
                    self.interrupt()
                    self._last = self._newest()
                self._last = self._pass_on(self._last)
            except OperationalError:
                self._last = None

    def close(self) -> None:
        """End all streams and stop following."""
        self._over.set()
        super().close()

    def _newest(self) -> int:
        """The ordinal of the last row there is."""
        return self._store.only("SELECT coalesce(max(ordinal), 0) AS n FROM news")["n"]

    def _pass_on(self, last: int) -> int:
        upcoming = "SELECT * FROM news WHERE ordinal > :last ORDER BY ordinal"
        rows = self._store.all(upcoming, last=last)
        for row in rows:
            super().publish(row["name"], row["data"])
            last = row["ordinal"]
        if rows:
            late = f"{self._store.database.clock} - :kept"
            self._store.run(f"DELETE FROM news WHERE told < {late}", kept=KEPT)
        self._tell_progress()
        return last

    def _tell_progress(self) -> None:
        running = "SELECT id, progress FROM jobs WHERE state = 'running'"
        found = {row["id"]: row["progress"] for row in self._store.all(running)}
        for ended in self._progress.keys() - found:
            del self._progress[ended]
        for identifier, progress in found.items():
            if progress and progress != self._progress.get(identifier):
                self._progress[identifier] = progress
                super().publish("progress", {"id": identifier, **progress})
