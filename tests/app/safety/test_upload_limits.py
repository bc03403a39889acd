"""Nothing is taken that is too large, by its bytes, by its pixels, or by what it unpacks to; and
nothing of it stays.
"""

import io
import socket
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest

from maquette.app.settings import Limits
from tests.app.live import encoded, label_png, picture, start

LIMITS = Limits(
    upload_bytes=200_000, json_bytes=2000, pixels=100_000, unpacked_bytes=300_000, entries=5
)


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    with start(tmp_path_factory.mktemp("tight"), limits=LIMITS) as live:
        yield live


def claimed_png(width, height):
    """A tiny PNG that says it is huge."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def archive(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name.replace("_dot_", "."), content)
    return stream.getvalue()


def refused(live, answer, status=413, code="too_large"):
    assert (answer.status, answer.code) == (status, code), answer.body
    assert not any(name.startswith(("photos", ".maquette")) for name in live.files())


def test_bytes_are_counted_before_and_while_they_come(tight):
    refused(tight, tight.post("/api/photos", b"x" * 200_001, Content_Type="image/png"))
    refused(tight, tight.send("/api/photos", [("file", "a.png", b"x" * 250_000)]))
    pieces = b"".join(b"2710\r\n" + b"x" * 10_000 + b"\r\n" for _ in range(30)) + b"0\r\n\r\n"
    head = (
        f"POST /api/photos HTTP/1.1\r\nHost: {tight.host}\r\nContent-Type: "
        "image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", tight.port)) as raw:
        raw.sendall(head.encode() + pieces)
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    refused(tight, tight.post("/api/jobs", {"photo": "x" * 3000}))
    for length in ("-5", "9" * 30, "1e3"):
        with socket.create_connection(("127.0.0.1", tight.port)) as raw:
            raw.sendall(
                f"POST /api/photos HTTP/1.1\r\nHost: {tight.host}\r\nContent-Length: "
                f"{length}\r\n\r\n".encode()
            )
            assert raw.recv(100)[9:12] in (b"413", b"400")


@pytest.mark.parametrize(
    "path, status",
    [
        ("/api/photos", b"413"),
        ("/api/photos/0123456789ab/masks/import", b"404"),
        ("/nowhere", b"404"),
    ],
)
def test_who_sends_all_before_reading_still_reads_the_refusal(tight, path, status):
    """Closing while bytes arrive would reset the connection, and the client would never
    learn why.
    """
    body = b"x" * (
        8 << 20 if status == b"413" else 190_000
    )  # more than sockets hold, or just what is taken
    with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as raw:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {tight.host}\r\nContent-Type: "
            f"image/png\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        raw.sendall(head.encode())
        for start in range(0, len(body), 1 << 16):
            raw.sendall(body[start : start + (1 << 16)])
            time.sleep(0.002)  # the server has answered long before the end
        assert raw.recv(100)[9:12] == status


@pytest.mark.parametrize("size", [(400, 300), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_pixels_are_counted_before_they_are_decoded(tight, size):
    answer = tight.post("/api/photos", claimed_png(*size), Content_Type="image/png")
    assert answer.status in (413, 422) and "pixels" in answer.message
    refused(tight, answer, answer.status, answer.code)


def test_masks_that_claim_much_are_refused(tight):
    photo = tight.send("/api/photos", [("file", "p.png", picture())]).json["id"]
    huge = io.BytesIO()
    np.save(huge, np.zeros(1, np.uint8))
    lying = huge.getvalue().replace(b"(1,)", b"(9999999,9999999,9)"[:4].ljust(4))
    bombs = {
        "m.png": claimed_png(30_000, 30_000),
        "m.npz": archive(masks_dot_npy=b"\0" * 400_000),
        "many.zip": archive(**{f"{k}_dot_png": label_png() for k in range(6)}),
        "big.zip": archive(a_dot_png=b"\0" * 400_000),
        "inside.zip": archive(a_dot_png=claimed_png(30_000, 30_000)),
        "rle.json": b'{"images":[{"id":1,"width":99999,"height":99999}],'
        b'"annotations":[{"id":1,"image_id":1,'
        b'"segmentation":{"size":[99999,99999],"counts":[9999800001]}}]}',
        "short.npy": lying[:100],
    }
    before = tight.files()
    for name, content in bombs.items():
        answer = tight.send(f"/api/photos/{photo}/masks/import", [("file", name, content)])
        assert answer.status in (413, 415, 422), (name, answer.status, answer.body)
    many = [("file", f"{k}.png", label_png()) for k in range(7)]
    assert tight.send(f"/api/photos/{photo}/masks/import", many).status in (413, 422)
    assert not tight.files() - before
    tight.call("DELETE", f"/api/photos/{photo}")


def test_an_archive_that_lies_about_its_size_is_stopped_while_it_unpacks(tight):
    content = bytearray(archive(a_dot_png=b"\0" * 400_000))
    for at in range(len(content) - 4):  # the sizes in both headers
        if content[at : at + 4] == struct.pack("<I", 400_000):
            content[at : at + 4] = struct.pack("<I", 1000)
    photo = tight.send("/api/photos", [("file", "p.png", picture())]).json["id"]
    answer = tight.send(f"/api/photos/{photo}/masks/import", [("file", "m.zip", bytes(content))])
    assert answer.status in (413, 422)
    tight.call("DELETE", f"/api/photos/{photo}")


def test_what_fits_is_taken(tight):
    photo = tight.send(
        "/api/photos", [("file", "p.png", encoded(np.zeros((200, 300, 3), np.uint8)))]
    )
    assert photo.status == 201
    tight.call("DELETE", f"/api/photos/{photo.json['id']}")
