"""Options of ``maquette benchmark``, declared once. Those of the methods themselves (steps,
guidance, ...) are the ones of a scene.
"""

from __future__ import annotations

from dataclasses import dataclass

from maquette.declare import check_bounds, option

# Measures beyond those of a protocol, and where each is explained.
EXTRAS = {
    "poses": "ADD-S and ICP-Rot of every object (poses.py)",
    "emd": "earth mover's distance of every object (metrics.py)",
    "boxes": "oriented box IoU of every object and AP@15 of the scene (detection.py)",
    "volume": "volumetric IoU of every object where it stands (solids.py)",
    "physics": "penetration, floating distance, stability (physics.py)",
    "dynamics": "penetration depth, displacement and peak energy in MuJoCo (dynamics.py)",
    "one-way": "Chamfer distance of the scene from prediction to truth only",
}
_SCENES = "scenes"
_METHODS = "methods"


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """Which methods on which scenes, what is measured, and where it is written."""

    sets: tuple[str, ...] = option(
        (),
        repeated=True,
        flags=("--set",),
        group=_SCENES,
        metavar="NAMES",
        help="repeat or separate by commas (default: random)",
    )
    scenes: int | None = option(
        None,
        kind=int,
        least=1,
        group=_SCENES,
        metavar="N",
        help="scenes per set (default 48), or the first N of --from (default: all)",
    )
    assets: str | None = option(
        None,
        kind=str,
        group=_SCENES,
        metavar="FOLDER",
        help="held-out assets as .npz (default: procedural families never trained on)",
    )
    source: str | None = option(
        None,
        kind=str,
        flags=("--from",),
        group=_SCENES,
        metavar="PATH",
        help="scenes with ground truth of your own instead of the sets",
    )
    gt_format: str = option(
        "folder",
        group=_SCENES,
        metavar="FORMAT",
        help="folder, glb or midi-3dfront (default: folder)",
    )
    methods: tuple[str, ...] = option(
        (),
        repeated=True,
        flags=("--method",),
        group=_METHODS,
        metavar="NAMES",
        help="repeat or separate by commas (default: iscene)",
    )
    weights: tuple[str, ...] = option(
        (),
        repeated=True,
        group=_METHODS,
        metavar="[NAME=]DIR",
        help="not the embedded ones; repeat to compare",
    )
    variants: str | None = option(
        None,
        kind=str,
        group=_METHODS,
        metavar="OPTION=VALUES",
        help="one contestant for each of several values of an option, such as layout (none, "
        "depth, sds, ssds) or fit (true, false)",
    )
    predictions: tuple[str, ...] = option(
        (),
        repeated=True,
        group=_METHODS,
        metavar="NAME=DIR",
        help="another system's DIR/<scene>.glb",
    )
    protocols: tuple[str, ...] = option(
        (),
        repeated=True,
        flags=("--protocol",),
        metavar="NAMES",
        help="repeat or separate by commas (default: iscene)",
    )
    extra: tuple[str, ...] = option(
        (),
        repeated=True,
        metavar="NAMES",
        help=f"measure more: {', '.join(EXTRAS)} (see maquette evaluate); "
        "repeat or separate by commas (default: physics,boxes; none = nothing more)",
    )
    baseline: str | None = option(
        None,
        kind=str,
        metavar="METHOD",
        help="of ablation tables (default: the first of several --weights or --variants)",
    )
    title: str = option(
        "",
        metavar="TEXT",
        help="the methods are variants: their own table of differences in --results",
    )
    results: str | None = option(
        None,
        kind=str,
        metavar="FILE.md",
        help="write a page about everything in --out; FILE-text.md beside it is included",
    )
    out: str | None = option(
        None,
        kind=str,
        metavar="RUN",
        help="folder for everything; a repeated command continues there; for maquette report",
    )
    jobs: int = option(
        1,
        least=0,
        metavar="J",
        help="processes (default 1; 0 = this one); the rows do not depend on it",
    )
    threads: int = option(
        1,
        least=1,
        metavar="T",
        help="CPU threads of each process (default 1)",
    )

    def __post_init__(self) -> None:
        check_bounds(self)
