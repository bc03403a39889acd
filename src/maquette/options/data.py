"""Options of ``maquette data``, declared once: what is imported, and what a data set of scenes and
views consists of.
"""

from __future__ import annotations

from dataclasses import dataclass

from maquette.declare import check_bounds, option

KINDS = ("random", "small-on-large", "duplicates", "dense", "tabletop", "room")


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How files of meshes are read, and what the library keeps of them."""

    jobs: int = option(
        1,
        least=0,
        metavar="J",
        help="processes (default: 1); 0 = this one",
    )
    up: str = option("y", choices=("y", "z"), help="upward axis of the files (default: y)")
    metric: bool = option(False, help="the files' unit is the metre")
    seed: int = option(0, metavar="S", help="of the order of the assets (default: 0)")
    fields: bool = option(
        True,
        flags=("--no-fields",),
        help="leave out the distance fields, which take most of the time: enough for scenes, views "
        "and the image encoder, not for the VAE or the generator",
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True)
class DataSetOptions:
    """What a data set consists of."""

    library: str | None = option(
        None,
        kind=str,
        metavar="DIR",
        help="from `maquette data import`; default: procedural assets",
    )
    scenes: int = option(
        1000,
        least=1,
        metavar="N",
        help="how many (default: 1000; of a preview: 12)",
    )
    views: int = option(
        4,
        least=1,
        metavar="V",
        help="per scene (default: 4; of a preview: 3)",
    )
    size: int = option(
        128,
        least=32,
        most=1024,
        metavar="PX",
        help="side of a view in pixels (default: 128)",
    )
    kind: str | None = option(
        None,
        kind=str,
        choices=KINDS,
        help="compose only this kind of scene (default: a mixture)",
    )
    seed: int = option(
        0,
        least=0,
        metavar="S",
        help="of everything that is drawn (default: 0)",
    )
    per_shard: int = option(
        64,
        least=1,
        metavar="K",
        help="scenes in one shard (default: 64)",
    )
    jobs: int = option(
        1,
        least=0,
        metavar="J",
        help="processes (default: 1); 0 = this one",
    )

    def __post_init__(self) -> None:
        check_bounds(self)
