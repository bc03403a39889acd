"""What makes scenes: one worker process, for which jobs are claimed in the database when it is
called.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import threading
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from maquette.app.crew import Crew
from maquette.errors import MaquetteError
from maquette.serve.settings import ServeSettings
from maquette.serve.shared import open_shared

SIGN = 3.0  # seconds between two signs of life
REMEMBERED = 3600.0  # seconds without a sign after which a worker is forgotten


class Maker:
    """A worker. Raises MaquetteError when its process does not start. ``command``: another one of
    its language.
    """

    def __init__(self, settings: ServeSettings, command: Sequence[str] | None = None) -> None:
        self._name = secrets.token_hex(8)
        self._crew = Crew(open_shared(settings), command, hands=1)
        (self._member,) = self._crew.members
        self._turn = threading.Lock()
        if not self._member.begin():
            self.stop()
            raise MaquetteError("the worker process does not start; look at its output")
        threading.Thread(target=self._give_signs, daemon=True).start()

    async def work(self) -> None:
        """Do a job, if one waits."""
        await asyncio.to_thread(self._work)

    def _work(self) -> None:
        # without the database nothing can be said; the job's lease ends, and others take it
        with self._turn, contextlib.suppress(SQLAlchemyError):
            self._member.turn(0.0)

    def stop(self) -> None:
        """End the process and let go of the database."""
        self._crew.stopping.set()
        self._member.end()
        self._crew.studio.close()

    def _give_signs(self) -> None:
        while not self._crew.stopping.is_set():
            with contextlib.suppress(SQLAlchemyError):
                self._give_sign()
            self._crew.stopping.wait(SIGN)

    def _give_sign(self) -> None:
        store = self._crew.studio.store
        clock = store.database.clock
        able = json.dumps(self._crew.capabilities())
        store.run(
            "INSERT INTO workers (id, state, capabilities, seen) "
            f"VALUES (:id, :state, :capabilities, {clock}) ON CONFLICT (id) DO UPDATE "
            "SET state = excluded.state, seen = excluded.seen",
            id=self._name,
            state=self._member.state,
            capabilities=able,
        )
        store.run(f"DELETE FROM workers WHERE seen < {clock} - :kept", kept=REMEMBERED)
