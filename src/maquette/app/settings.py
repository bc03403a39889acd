"""What a server is told when it starts. First module of the app."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from maquette.declare import check_bounds, option
from maquette.errors import InputError, MissingExtraError

DEFAULT_PORT = 8765
LEAST_TOKEN = 16  # characters of a token that somebody chooses
_TOKEN = re.compile(r"[!#-+\--:<-\[\]-~]*")  # what a cookie may hold (RFC 6265, 4.1.1)


@dataclass(frozen=True)
class Limits:
    """The most that a client may ask for."""

    upload_bytes: int = 64 << 20  # of one request
    json_bytes: int = 2 << 20  # of a JSON body
    pixels: int = 50_000_000  # of a picture
    objects: int = 64  # of a photo
    unpacked_bytes: int = 1536 << 20  # that all files of one upload unpack and decode to
    entries: int = 600  # of an archive, and files of one upload
    versions: int = 200  # that undo can go back
    name_length: int = 80  # characters
    connections: int = 1000
    connections_per_address: int = 400
    head_seconds: float = 20.0  # for the head of a request, from a connection's beginning on
    pause_seconds: float = 20.0  # between two pieces of a body
    body_seconds: float = 300.0  # for a whole body
    gate_seconds: float = 30.0  # waiting for a turn at reading or cutting out pictures
    job_seconds: float = 3600.0  # for one job


@dataclass(frozen=True)
class ServerSettings:
    """Where a server listens and keeps its things."""

    data: Path
    host: str = option("127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1, only this machine")
    port: int = option(
        DEFAULT_PORT,
        least=0,
        most=65535,
        metavar="N",
        help=f"default: {DEFAULT_PORT}; 0 takes a free one",
    )
    workers: int = option(
        1,
        least=1,
        metavar="N",
        help="jobs that are made at the same time, each in a process of its own (default: 1)",
    )
    max_batch: int | None = option(
        None,
        kind=int,
        least=1,
        most=64,
        metavar="N",
        help="jobs that a worker makes together, if they wait at the same time and differ in photo "
        "and seed only (default: 8 on a graphics card, 1 on a processor, which gains little)",
    )
    batch_wait: float = option(
        0.0,
        least=0.0,
        most=60.0,
        metavar="SECONDS",
        help="how long a job waits for others to be made together with (default: 0)",
    )
    queue: int = option(
        16,
        least=1,
        metavar="N",
        help="jobs that may wait (default: 16); further ones are answered with 429 and a time",
    )
    token: str | None = option(
        None,
        kind=str,
        metavar="TEXT",
        help="ask everybody for this token (drawn by itself when other machines can come)",
    )
    hosts: tuple[str, ...] = option(
        (),
        repeated=True,
        flags=("--allow-host",),
        metavar="NAME",
        help="another name by which browsers may call this server",
    )
    weights: tuple[Path, ...] = option(
        (),
        repeated=True,
        read=Path,
        metavar="DIR",
        help="a folder of weights to offer besides the embedded ones; may be repeated, the first "
        "is the default",
    )
    limits: Limits = field(default_factory=Limits)
    heavy: int = 2  # pictures that are read or cut out at the same time

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.token is not None:
            _check_token(self.token)
        if self.token is None and not is_loopback(self.host):
            raise InputError(
                f"{self.host} can be reached from other machines, so a token is needed; give one"
            )
        for folder in self.weights:
            if not folder.is_dir():
                raise InputError(f"{folder}: no such folder of weights; check --weights")


def _check_token(token: str) -> None:
    if len(token) < LEAST_TOKEN:
        raise InputError(
            f"the token has {len(token)} characters; give at least {LEAST_TOKEN}, or none"
        )
    found = _TOKEN.match(token)
    fitting = found.end() if found else 0
    if fitting < len(token):
        raise InputError(
            f"character {fitting + 1} of the token is {token[fitting]!r}, which a browser does not "
            f"keep; give at least {LEAST_TOKEN} letters, digits and signs of ASCII, without spaces "
            'and without any of " , ; \\'
        )


def default_data() -> Path:
    """Where this user's data of programs is kept."""
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Application Support"
    else:
        root = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return root / "maquette"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_app() -> None:
    """MissingExtraError with the line to install when the packages of the app are not there."""
    missing = [
        name
        for name in ("fastapi", "uvicorn", "python_multipart", "sqlalchemy", "alembic")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise MissingExtraError(
            f"the app needs {', '.join(missing)}; install them with: pip install 'maquette[app]'"
        )
