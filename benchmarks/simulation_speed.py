"""How long a scene takes to MJCF and to rest: seconds of the processor, children included, which a
busy machine does not change, and of the clock.

    python benchmarks/simulation_speed.py SCENE [--collision parts,hull] [--objects 10]

``--objects``: only so many of the scene, those that are first in it. Each is done twice: the
second time the libraries are loaded and convex parts are kept.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from maquette.document.scene_json import load
from maquette.options import SimulationOptions
from maquette.simulation.files import write_simulation
from maquette.simulation.settle import settle
from maquette.types import Scene


def told(what: str, work: Callable[[Path], object]) -> None:
    """Print seconds of the processor, of this process and its children, and of the clock."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MAQUETTE_CACHE"] = folder
        for turn in ("first", "again"):
            before = os.times()
            work(Path(folder))
            after = os.times()
            spent = sum(after[:4]) - sum(before[:4])
            clock = after.elapsed - before.elapsed
            said = f"{spent:.1f} s of the processor, {clock:.1f} s of the clock"
            print(f"{what}, {turn}: {said}", flush=True)


def exported(scene: Scene, options: SimulationOptions, folder: Path) -> None:
    write_simulation(scene, folder / "room.xml", options)


def settled(scene: Scene, options: SimulationOptions, folder: Path) -> None:
    settle(scene, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("--collision", default="parts,hull")
    parser.add_argument("--objects", type=int)
    parser.add_argument("--only", choices=("export", "settle"))
    args = parser.parse_args()
    scene = load(args.scene).visible()
    scene = replace(scene, instances=scene.instances[: args.objects])
    count = len(scene.instances)
    for collision in args.collision.split(","):
        options = SimulationOptions(collision=collision)
        for name, work in (("export", exported), ("settle", settled)):
            if args.only in (None, name):
                told(f"{name}, {collision}, {count} objects", partial(work, scene, options))


if __name__ == "__main__":
    main()
