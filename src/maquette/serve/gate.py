"""What answers requests: the app's own addresses, for workers that are elsewhere. It keeps nothing,
so any number of these may stand behind one address.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from maquette.app.claims import claimable
from maquette.app.crew import Crew
from maquette.app.finders import Finders
from maquette.app.problems import Problem
from maquette.app.server import application
from maquette.app.studio import Studio
from maquette.serve import metrics
from maquette.serve.settings import ServeSettings
from maquette.serve.shared import open_shared
from maquette.types import JsonObject

ROUND = 5.0  # seconds between two looks for jobs for which nobody was called

Work = Callable[[], Awaitable[Any]]


class Bell(Crew):
    """Calls for workers of other processes: once for each job that is submitted here, and again for
    jobs that still wait, or whose worker was lost.
    """

    def __init__(self, studio: Studio, work: Work) -> None:
        super().__init__(studio, hands=0)
        self._work = work
        self._calls = 0  # that are not answered yet
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; called in the loop of the application."""
        self._loop = asyncio.get_running_loop()
        for task in (self._look_around, self.studio.news.follow):
            threading.Thread(target=task, daemon=True).start()

    def call(self) -> None:
        """Call for a worker."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._call(), self._loop)

    async def _call(self) -> None:
        self._calls += 1
        try:
            await self._work()
        finally:
            self._calls -= 1

    def _look_around(self) -> None:
        while not self.stopping.wait(ROUND):
            try:
                for _ in range(waiting(self.studio) - self._calls):
                    self.call()
            except OperationalError:  # later
                continue

    def states(self) -> list[str]:
        """What each worker does that has given a sign of late."""
        seen = f"SELECT state FROM workers WHERE seen > {self.studio.store.database.clock} - :lease"
        return [row["state"] for row in self.studio.store.all(seen, lease=self.studio.lease)]

    def capabilities(self, patience: float = 90.0) -> JsonObject:
        """Methods, models and devices, as the newest worker has told. Problem 503."""
        newest = "SELECT capabilities FROM workers ORDER BY seen DESC LIMIT 1"
        end = time.monotonic() + patience
        while (found := self.studio.store.one(newest)) is None:
            if time.monotonic() > end:
                raise Problem(503, "unavailable", "no worker starts; look at the servers' output")
            time.sleep(0.5)
        return found["capabilities"]


def waiting(studio: Studio) -> int:
    """How many jobs could be taken now."""
    counted = f"SELECT count(*) AS n FROM jobs WHERE {claimable(studio.store)}"
    return studio.store.only(counted)["n"]


def gate(settings: ServeSettings, finders: Finders, work: Work) -> FastAPI:
    """The application of one process; ``work`` asks some worker to do a job. Raises InputError,
    OutputError as ``open_shared`` does.
    """
    studio = open_shared(settings, finders)
    app = application(studio, Bell(studio, work))
    app.include_router(metrics.router)
    return app
