"""News reach all listeners in order; who does not keep up is cut off, and nobody is waited for."""

import asyncio
import json
import threading

from maquette.app import events
from maquette.app.events import News, encode


def collect(news, act, snapshot=lambda: [], wanted=lambda e: True, last=lambda e: e[0] == "end"):
    """What a stream says while ``act`` runs in another thread."""

    async def run():
        said = []
        acting = None
        async for piece in news.listen(lambda: (begin.set(), snapshot())[1], wanted, last):
            said.append(piece)
        acting = acting or worker.join()
        return said

    begin = threading.Event()
    worker = threading.Thread(target=lambda: (begin.wait(), act()))
    worker.start()
    said = asyncio.run(run())
    worker.join()
    return said


def test_a_stream_is_the_snapshot_and_then_all_that_is_wanted():
    news = News()

    def act():
        for k in range(100):
            news.publish("tick" if k % 2 else "noise", {"k": k})
        news.publish("end", {})

    said = collect(news, act, lambda: [("first", {"a": 1})], lambda e: e[0] != "noise")
    assert said[0] == b'event: first\ndata: {"a":1}\n\n' and said[-1].startswith(b"event: end")
    assert [json.loads(p.split(b"data: ")[1])["k"] for p in said[1:-1]] == list(range(1, 100, 2))


def test_a_snapshot_that_ends_ends_the_stream():
    assert len(collect(News(), lambda: None, lambda: [("job", {}), ("end", {}), ("more", {})])) == 2


def test_who_does_not_keep_up_is_cut_off(monkeypatch):
    monkeypatch.setattr(events, "BACKLOG", 5)
    news = News()

    async def run():
        stream = news.listen(lambda: [("first", {})], lambda e: True, lambda e: False)
        said = [await anext(stream)]
        for k in range(50):
            news.publish("tick", {"k": k})
        await asyncio.sleep(0)
        return said + [piece async for piece in stream]

    assert len(asyncio.run(run())) <= 6 and not news._listeners


def test_a_silent_stream_says_that_it_is_there_and_closing_ends_it(monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    news = News()

    async def run():
        stream = news.listen(lambda: [], lambda e: True, lambda e: False)
        assert (await anext(stream)).startswith(b":")
        news.close()
        return [piece async for piece in stream]

    assert all(piece.startswith(b":") for piece in asyncio.run(run()))
    assert collect(news, lambda: None) == []


def test_data_is_one_line():
    assert encode("x", {"text": "a\nb\r\n"}).count(b"\n") == 3
