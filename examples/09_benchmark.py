"""Put your own system beside others on a fixed set of held-out scenes: here it answers with boxes,
read from GLB files.

`maquette report benchmark` then makes one HTML page of it, and `maquette benchmark --help` shows
the same from the command line.
"""

from pathlib import Path

from maquette.evaluate.benchmark import BenchmarkPlan, prepare, run_benchmark
from maquette.evaluate.cases import load_case, scene_of_meshes
from maquette.evaluate.comparison import comparison_tables
from maquette.evaluate.contestants import contestants, oracle_boxes
from maquette.evaluate.sets import SetSource
from maquette.evaluate.tables import markdown
from maquette.execute.pool import HERE, Here

if __name__ == "__main__":
    run = Path("benchmark")
    theirs = Path("their_glbs")
    scenes = (SetSource("random", 0),)
    # photos and masks, for a system that knows nothing of maquette
    prepare(BenchmarkPlan(run, scenes, ()), Here())

    for scene in scenes:
        case = load_case(
            run / "scenes" / scene.name
        )  # a real system would only look at photo.png and masks.png
        scene_of_meshes(oracle_boxes(case)).export(theirs / f"{scene.name}.glb")

    compared = contestants(["spheres"], weights={}, files={"theirs": str(theirs)})
    rows = run_benchmark(
        BenchmarkPlan(run, scenes, tuple(compared), protocols=("raw",), engine=HERE)
    )
    print(markdown(comparison_tables(rows)[0]))
