"""A connection alone, without a network; what many of them do over the wire is in ``safety``."""

import asyncio

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from maquette.app.connections import BoundedConnection
from maquette.app.settings import Limits

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Transport(asyncio.Transport):
    """The end of a connection that only notes whether it was closed."""

    def __init__(self, address):
        super().__init__({"peername": (address, 1234)})
        self.closed = False

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def write(self, data):
        pass

    def resume_reading(self):
        pass


async def waiting(scope, receive, send):
    await asyncio.sleep(60)


@pytest.fixture
def talk():
    """Run a conversation with fresh connections of one server."""

    def run(conversation, **limits):
        async def inner():
            config = Config(waiting, lifespan="off", log_config=None)
            config.load()
            state = ServerState()

            def connect(address="10.0.0.1"):
                made = BoundedConnection(config, state, {}, limits=Limits(**limits))
                made.connection_made(Transport(address))
                return made

            await conversation(connect)
            for task in state.tasks:
                task.cancel()

        asyncio.run(inner())

    return run


def test_the_time_for_a_head_ends_with_the_head(talk):
    async def conversation(connect):
        silent, started, complete = (connect() for _ in range(3))
        started.data_received(HEAD[:20])
        complete.data_received(HEAD)
        assert (silent.waits_for_head, complete.waits_for_head) == (True, False)
        await asyncio.sleep(0.1)
        assert silent.transport.closed and started.transport.closed
        assert not complete.transport.closed

    talk(conversation, head_seconds=0.05)


def test_a_connection_that_was_lost_is_not_closed_again(talk):
    async def conversation(connect):
        lost = connect()
        lost.connection_lost(OSError())
        await asyncio.sleep(0.1)
        assert not lost.transport.closed

    talk(conversation, head_seconds=0.05)


def test_the_oldest_silent_connection_of_an_address_makes_place(talk):
    async def conversation(connect):
        busy = connect()
        busy.data_received(HEAD)
        other = connect("10.0.0.2")
        silent = [connect() for _ in range(4)]
        assert [c.transport.closed for c in silent] == [True, True, False, False]
        assert not busy.transport.closed and not other.transport.closed

    talk(conversation, connections_per_address=3)


def test_without_a_silent_one_the_new_connection_is_closed(talk):
    async def conversation(connect):
        for _ in range(3):
            connect().data_received(HEAD)
        assert connect().transport.closed

    talk(conversation, connections_per_address=3)
