"""Options of commands with many units of work: on which machines they are done.

Read by the command line; ``execute.pool.Engine`` does what they say.
"""

from __future__ import annotations

from dataclasses import dataclass

from maquette.declare import check_bounds, option


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """On which machines a command with many units of work runs."""

    shard: str | None = option(
        None,
        kind=str,
        metavar="I/N",
        group="many machines",
        help="do the I-th of N shares of the work; each machine runs the command with another I",
    )
    merge: bool = option(
        False,
        group="many machines",
        help="after all shares: put them together, and say what is missing",
    )
    engine: str = option(
        "local",
        choices=("local", "ray"),
        group="many machines",
        help="local: processes of this machine (default); ray: the workers of a Ray cluster, "
        "which needs `pip install 'maquette[ray]'`",
    )
    address: str = option(
        "auto",
        metavar="HOST:PORT",
        group="many machines",
        help="of the Ray cluster; auto (default): the one this machine belongs to; local: start "
        "one here",
    )
    num_gpus: float = option(
        0.0,
        least=0.0,
        most=1024.0,
        metavar="K",
        group="many machines",
        help="graphics cards of each Ray worker, 0.25 = four workers share one (default: 0)",
    )

    def __post_init__(self) -> None:
        check_bounds(self)
