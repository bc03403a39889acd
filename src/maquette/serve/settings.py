"""What ``maquette serve`` is told: the options of the app, and where and how often it runs."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from maquette.app.settings import ServerSettings, require_app
from maquette.declare import option
from maquette.errors import InputError, MissingExtraError

LEASE = 15.0  # seconds after which a job whose worker gives no sign is taken by another


@dataclass(frozen=True)
class ServeSettings(ServerSettings):
    """Where the servers of a cluster listen and keep their things, and how many there are."""

    database: str | None = option(
        None,
        kind=str,
        metavar="URL",
        group="many machines",
        help="postgresql://USER@HOST/NAME for several machines (default: SQLite in the data "
        "folder, for one); a password may stand in ~/.pgpass",
    )
    address: str = option(
        "local",
        metavar="HOST:PORT",
        group="many machines",
        help="of the Ray cluster; local (default): start one on this machine; auto: the one this "
        "machine belongs to",
    )
    workers: int = option(
        0,
        least=0,
        metavar="N",
        help="jobs that are made at the same time (default: one for each graphics card, or one)",
    )
    replicas: int = option(
        1,
        least=1,
        metavar="N",
        group="many machines",
        help="processes that answer requests (default: 1)",
    )
    num_gpus: float | None = option(
        None,
        kind=float,
        least=0.0,
        most=16.0,
        metavar="K",
        group="many machines",
        help="graphics cards of each worker, 0.25 = four workers share one (default: 1 where "
        "there are any)",
    )
    num_cpus: int = option(
        1,
        least=1,
        metavar="N",
        group="many machines",
        help="processors of each worker (default: 1)",
    )
    least_workers: int | None = option(
        None,
        kind=int,
        least=0,
        metavar="N",
        group="many machines",
        help="with fewer jobs, so few workers stay; --workers is the most then (default: all stay)",
    )
    idle: float = option(
        600.0,
        least=1.0,
        metavar="SECONDS",
        group="many machines",
        help="after so long without enough to do a worker goes (default: 600)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers and (self.least_workers or 0) > self.workers:
            raise InputError(
                f"--least-workers {self.least_workers} is more than --workers {self.workers}"
            )


def require_serve() -> None:
    """MissingExtraError with the line to install when Ray Serve is not there."""
    require_app()
    _require_ray()


def _require_ray() -> None:
    try:
        there = importlib.util.find_spec("ray") and importlib.import_module("ray.serve")
    except ImportError:
        there = None
    if there is None:
        raise MissingExtraError(
            "serving needs Ray Serve; install it with: pip install 'maquette[serve]'"
        )
