"""Every option of a command that Python and the app have, too, declared once.

Stands at the very start of the flow, so that the command line can show its help without loading
anything: no arrays, no networks. What an option does is said where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from maquette.declare import check, option

METRES = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254, "ft": 0.3048}  # of units of length


@dataclass(frozen=True, kw_only=True)
class FileSpace:
    """How coordinates of OBJ, PLY and STL files are to be read."""

    unit: str | None = option(
        None,
        kind=str,
        choices=tuple(METRES),
        metavar="UNIT",
        help="of OBJ, PLY and STL: mm, cm, m, in or ft (default: m when the scale is known)",
    )
    size: float | None = option(
        None,
        kind=float,
        least=1e-6,
        metavar="LENGTH",
        help="longest side of the whole scene in OBJ, PLY and STL, in their unit",
    )
    up: str = option(
        "y", choices=("y", "z"), help="upward axis of OBJ, PLY and STL (default: y; slicers: z)"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def is_asked_for(self) -> bool:
        """Whether anything differs from what a scene has anyway."""
        return self != FileSpace()
