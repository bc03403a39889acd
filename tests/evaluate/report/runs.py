"""A small finished run of toy scenes, for the tests of the report."""

from pathlib import Path

from maquette.evaluate.benchmark import BenchmarkPlan, run_benchmark
from maquette.evaluate.cases import scene_of_meshes
from maquette.evaluate.contestants import contestants
from maquette.execute.pool import HERE
from maquette.export.glb import write_glb
from tests.evaluate.scenes import Toy


def finished_run(folder: Path, scenes: int = 2) -> Path:
    """The oracle "truth" (not to be mixed up with the truth), and files "theirs": first scene with
    an object missing, no second scene.
    """
    truth = Toy(0).load().truth
    (folder / "theirs" / "random").mkdir(parents=True)
    write_glb(
        scene_of_meshes({name: truth[name] for name in sorted(truth)[1:]}),
        folder / "theirs" / "random" / "0000.glb",
    )
    made = contestants(["truth"], {}, {"theirs": str(folder / "theirs")})
    run_benchmark(
        BenchmarkPlan(
            folder / "run", tuple(Toy(k) for k in range(scenes)), tuple(made), ("raw",), engine=HERE
        )
    )
    return folder / "run"
