"""How fast is ``iscene``, against the same steps written with Open3D?  ``python
benchmarks/evaluator_speed.py [--threads 2] [--runs 3]``

A scene of seven objects with 20,480 points each, prediction and truth differing in shape and place.
Both sides get the same seeded samples and do the same: robust ICP of the whole scene and of every
object in two normalisation spaces (I-Scene, appendix 8), then Chamfer distance, F-score and box
IoU, aligned and as given. The sides take turns, so that other load on the machine hits both. Open3D
is needed here and nowhere else in maquette: ``pip install open3d-cpu`` (or ``open3d``)."""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np


def scene(count: int = 7, seed: int = 0) -> tuple[dict, dict]:
    """Predicted and true meshes by name."""
    import trimesh

    from maquette.geometry.transforms import rotation_y, similarity

    rng = np.random.default_rng(seed)
    shapes = [
        trimesh.creation.box((0.5, 0.6, 0.4)),
        trimesh.creation.icosphere(3, 0.3),
        trimesh.creation.cylinder(0.25, 0.6),
        trimesh.creation.torus(0.3, 0.1),
        trimesh.creation.capsule(0.5, 0.2),
        trimesh.creation.cone(0.3, 0.6),
        trimesh.creation.annulus(0.15, 0.3, 0.4),
    ]
    truth = {}
    predicted = {}
    for k in range(count):
        arm = trimesh.creation.box((0.2, 0.2, 0.7)).apply_translation([0.2, 0.1, 0.1])
        mesh = trimesh.util.concatenate([shapes[k % len(shapes)], arm])
        mesh.apply_transform(
            similarity(1.0, rotation_y(rng.uniform(0, 6)), rng.uniform(-1.2, 1.2, 3) * [1, 0.2, 1])
        )
        other = mesh.copy()
        other.vertices = other.vertices * (1 + 0.05 * rng.normal(size=3))
        other.apply_transform(
            similarity(1.0, rotation_y(0.2 * rng.normal()), 0.05 * rng.normal(size=3))
        )
        truth[f"object_{k}"] = mesh
        predicted[f"object_{k}"] = other
    return predicted, truth


def main() -> int:
    """Time both sides in turns and print their scores beside each other; 2 without Open3D."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the scene")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read by Open3D when it is imported
    try:
        import open3d
    except ImportError:
        print("this benchmark compares with Open3D: pip install open3d-cpu")
        return 2
    import open3d_iscene

    from maquette.evaluate import score_scene

    predicted, truth = scene(seed=args.seed)
    sides = {
        "maquette": lambda: score_scene(predicted, truth, workers=args.threads).to_dict(),
        "open3d": lambda: open3d_iscene.score(predicted, truth),
    }
    results = {}
    seconds = {name: [] for name in sides}
    sides["maquette"]()  # compiles
    for _ in range(args.runs):
        for name, side in sides.items():
            start = time.perf_counter()
            results[name] = side()
            seconds[name].append(time.perf_counter() - start)
    print(
        f"seven objects, 20,480 points each, {args.threads} threads, Open3D "
        f"{open3d.__version__}, Python {sys.version.split()[0]}\n"
    )
    print(f"{'':10}{'maquette':>12}{'open3d':>12}")
    for key in results["open3d"]:
        print(f"{key:10}{results['maquette'][key]:12.5f}{results['open3d'][key]:12.5f}")
    best = {name: min(values) for name, values in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["maquette"], seconds["open3d"])]
    print(f"{'seconds':10}{best['maquette']:12.2f}{best['open3d']:12.2f}   best of {args.runs}")
    print(
        f"\nOpen3D takes {best['open3d'] / best['maquette']:.1f} times as long (run by run: "
        f"{', '.join(f'{r:.1f}' for r in ratios)})"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
