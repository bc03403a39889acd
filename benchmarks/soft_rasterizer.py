"""How fast is the soft rasteriser, and arranging with it?  ``python benchmarks/soft_rasterizer.py
[--objects 5] [--faces 400] [--runs 30]``

Procedural objects in a ring, seen from above, on one thread. Each row takes turns with the hard
rasteriser on the same scene, so that other load on the machine hits both. Milliseconds are of the
processor's time, not of the clock: what one thread needs, whoever else computes."""

from __future__ import annotations

import argparse
import time

import numpy as np


def ring(objects: int, faces: int, seed: int = 0):
    """Meshes, their places (N, 4, 4), and a function that makes a camera of a size."""
    import trimesh

    from maquette.data.procedural import procedural_asset
    from maquette.geometry.cameras import intrinsics_from_fov, look_at
    from maquette.geometry.transforms import rotation_y, similarity
    from maquette.types import Camera

    rng = np.random.default_rng(seed)
    meshes = []
    places = []
    for number in range(objects):
        asset = procedural_asset(rng, face_budget=faces)
        angle = 2 * np.pi * number / objects + rng.uniform(-0.3, 0.3)
        scale = rng.uniform(0.22, 0.4)
        height = scale * np.ptp(asset.vertices[:, 1]) / 2 - 0.2
        meshes.append(
            trimesh.Trimesh(asset.vertices, asset.faces, vertex_colors=asset.colors, process=False)
        )
        places.append(
            similarity(
                scale,
                rotation_y(rng.uniform(-3, 3)),
                [0.33 * np.cos(angle), height, 0.33 * np.sin(angle)],
            )
        )
    pose = look_at(np.array([0, 0.75, 1.7]), np.array([0, -0.05, 0]))
    return (
        meshes,
        np.stack(places),
        lambda size: Camera(intrinsics_from_fov(0.7, size, size), pose, size, size),
    )


def milliseconds(functions: dict, runs: int) -> dict[str, float]:
    """Median processor time of each, one after the other in every run."""
    spent = {name: [] for name in functions}
    for run in range(runs + 3):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if run >= 3:
                spent[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(values)) for name, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--faces", type=int, default=400, help="of each object")
    parser.add_argument("--runs", type=int, default=30)
    given = parser.parse_args()

    import torch

    from maquette.methods.comboverse.arrange import (
        ArrangeOptions,
        Placements,
        Reference,
        arrange,
        parts_from_meshes,
        placed_vertices,
        placements_from,
    )
    from maquette.methods.comboverse.soft import soft_render
    from maquette.render.rasterize import rasterize

    torch.set_num_threads(1)
    meshes, places, camera_of = ring(given.objects, given.faces)
    parts = parts_from_meshes(meshes)
    truth = placements_from(parts, places)
    vertices = placed_vertices(parts, truth)
    shades = (parts.colours.numpy() * 255).astype(np.uint8)
    print(
        f"{given.objects} objects, {len(parts.faces)} faces, {len(parts.vertices)} vertices; one "
        f"thread, median of {given.runs}"
    )
    print(f"{'pixels':>8} {'hard ms':>8} {'soft ms':>8} {'and back ms':>12} {'arrange it/s':>13}")
    for size in (64, 128, 192):
        camera = camera_of(size)
        hard = (
            [np.asarray(a) for a in (vertices, parts.faces)],
            {"face_instance": np.asarray(parts.face_instance)},
        )
        leaf = vertices.clone().requires_grad_()
        colours = parts.colours.clone().requires_grad_()

        def draw(v=leaf, c=colours, camera=camera):
            return soft_render(v, parts.faces, c, camera, face_instance=parts.face_instance)

        def forth(draw=draw):
            with torch.no_grad():
                draw()

        def forth_and_back(draw=draw):
            image = draw()
            (image.colour.square().sum() + image.instance_alpha.square().sum()).backward()

        spent = milliseconds(
            {
                "hard": lambda hard=hard, camera=camera: rasterize(
                    *hard[0], camera, vertex_colors=shades, **hard[1]
                ),
                "soft": forth,
                "both": forth_and_back,
            },
            given.runs,
        )
        with torch.no_grad():
            seen = soft_render(
                vertices,
                parts.faces,
                parts.colours,
                camera,
                sharpness=np.inf,
                face_instance=parts.face_instance,
            )
        start = Placements(truth.log_scale + 0.1, truth.rotation, truth.translation + 0.03)
        reference = Reference(camera, seen.colour, seen.instance_alpha)
        arrange(parts, start, reference, ArrangeOptions(iterations=1))  # imports
        begun = time.process_time()
        arrange(parts, start, reference, ArrangeOptions(iterations=2 * given.runs))
        rate = 2 * given.runs / (time.process_time() - begun)
        print(
            f"{size:>8} {spent['hard']:>8.1f} {spent['soft']:>8.1f} {spent['both']:>12.1f} "
            f"{rate:>13.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
