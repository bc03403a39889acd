"""How fast is ``iscene``, against the same steps written with Open3D?  ``python benchmarks/evaluator_speed.py [--threads 2] [--runs 3]``

A scene of seven objects with 20,480 points each, prediction and truth differing in shape and place. Both sides get the same seeded
samples and do the same: robust ICP of the whole scene and of every object in two normalisation spaces (I-Scene, appendix 8), then
Chamfer distance, F-score and box IoU, aligned and as given. The sides take turns, so that other load on the machine hits both.
Open3D is needed here and nowhere else in maquette: ``pip install open3d-cpu`` (or ``open3d``).
"""

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
    shapes = [trimesh.creation.box((0.5, 0.6, 0.4)), trimesh.creation.icosphere(3, 0.3), trimesh.creation.cylinder(0.25, 0.6),
              trimesh.creation.torus(0.3, 0.1), trimesh.creation.capsule(0.5, 0.2), trimesh.creation.cone(0.3, 0.6),
              trimesh.creation.annulus(0.15, 0.3, 0.4)]  # fmt: skip
    truth, predicted = {}, {}
    for k in range(count):
        arm = trimesh.creation.box((0.2, 0.2, 0.7)).apply_translation([0.2, 0.1, 0.1])
        mesh = trimesh.util.concatenate([shapes[k % len(shapes)], arm])
        mesh.apply_transform(similarity(1.0, rotation_y(rng.uniform(0, 6)), rng.uniform(-1.2, 1.2, 3) * [1, 0.2, 1]))
        other = mesh.copy()
        other.vertices = other.vertices * (1 + 0.05 * rng.normal(size=3))
        other.apply_transform(similarity(1.0, rotation_y(0.2 * rng.normal()), 0.05 * rng.normal(size=3)))
        truth[f"object_{k}"], predicted[f"object_{k}"] = mesh, other
    return predicted, truth


def with_open3d(predicted: dict, truth: dict) -> dict[str, float]:
    """The protocol ``iscene`` in plain Open3D: what one would write first."""
    import open3d as o3d

    from maquette.evaluate.protocols import ISCENE
    from maquette.evaluate.surfaces import sample_mesh, stream
    from maquette.geometry.boxes import bounding_box, box_iou, scene_from_world
    from maquette.geometry.transforms import similarity

    registration = o3d.pipelines.registration
    icp = ISCENE.icp

    def cloud(points):
        return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))

    def distances(a, b):
        a, b = cloud(a), cloud(b)
        return np.asarray(a.compute_point_cloud_distance(b)), np.asarray(b.compute_point_cloud_distance(a))

    def yaw(angle):
        matrix = np.eye(4)
        matrix[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
        return matrix

    def apply(matrix, points):
        return points @ matrix[:3, :3].T + matrix[:3, 3]

    def every(points, most):
        return points[np.linspace(0, len(points) - 1, min(most, len(points))).astype(int)]

    def cost(a, b):
        both = distances(every(a, icp.sweep_points), every(b, icp.sweep_points))
        return sum(np.sort(d)[: int(len(d) * (1 - icp.trim))].mean() for d in both)

    def goodness(fit):
        return fit.inlier_rmse + icp.unfit_cost * (1 - fit.fitness)

    def in_one_space(a, b):
        angles = 2 * np.pi * np.arange(icp.yaw_candidates) / icp.yaw_candidates
        best = sorted(angles, key=lambda angle: cost(apply(yaw(angle), a), b))[: icp.yaw_keep]
        down_a, down_b = cloud(a).voxel_down_sample(icp.voxel), cloud(b).voxel_down_sample(icp.voxel)
        to_points, reach = registration.TransformationEstimationPointToPoint(), icp.coarse_reach * icp.voxel

        def coarse(start, iterations):
            stop = registration.ICPConvergenceCriteria(max_iteration=iterations)
            return registration.registration_icp(down_a, down_b, reach, start, to_points, stop)

        seed = min((coarse(yaw(angle), icp.seed_iterations) for angle in best), key=goodness)
        start = coarse(seed.transformation, icp.coarse_iterations).transformation
        full_a, full_b = cloud(a), cloud(b)
        for full in (full_a, full_b):
            full.estimate_normals(o3d.geometry.KDTreeSearchParamHybrid(radius=3 * icp.voxel, max_nn=30))
        to_planes = registration.TransformationEstimationPointToPlane(registration.TukeyLoss(k=icp.tukey * icp.voxel))
        stop = registration.ICPConvergenceCriteria(max_iteration=icp.fine_iterations)
        fit = registration.registration_icp(full_a, full_b, icp.fine_reach * icp.voxel, start, to_planes, stop)
        return fit.transformation, goodness(fit)

    def align(a, b):
        both = bounding_box(np.concatenate([a, b]))
        middle, size = both.mean(0), np.ptp(both, axis=0).max()
        (first, cost_first) = in_one_space((a - middle) / size, (b - middle) / size)
        boxes = bounding_box(a), bounding_box(b)
        (ma, sa), (mb, sb) = ((box.mean(0), np.ptp(box, axis=0).max() / 2) for box in boxes)
        (second, cost_second) = in_one_space((a - ma) / sa, (b - mb) / sb)
        result = np.eye(4)
        if cost_first <= cost_second:
            result[:3, :3] = first[:3, :3]
            result[:3, 3] = first[:3, 3] * size + middle - first[:3, :3] @ middle
        else:
            result[:3, :3] = second[:3, :3] * sb / sa
            result[:3, 3] = second[:3, 3] * sb + mb - result[:3, :3] @ ma
        return result

    def chamfer_and_f(a, b):
        forth, back = distances(a, b)
        precision, recall = (forth < ISCENE.threshold).mean(), (back < ISCENE.threshold).mean()
        return (forth**2).mean() + (back**2).mean(), 100 * 2 * precision * recall / max(precision + recall, 1e-12)

    def own_box(points):
        box = bounding_box(points)
        return (points - box.mean(0)) * (2 * ISCENE.object_half / np.ptp(box, axis=0).max())

    unit = similarity(2.0) @ scene_from_world(bounding_box(np.concatenate([mesh.vertices for mesh in truth.values()])))
    a = {n: sample_mesh(m, ISCENE.points, stream(0, "predicted", n), unit).points for n, m in predicted.items()}
    b = {n: sample_mesh(m, ISCENE.points, stream(0, "truth", n), unit).points for n, m in truth.items()}
    whole_a, whole_b = np.concatenate(list(a.values())), np.concatenate(list(b.values()))
    matrix = align(whole_a, whole_b)
    cd_s, f_s = chamfer_and_f(apply(matrix, whole_a), whole_b)
    _, f_s_raw = chamfer_and_f(whole_a, whole_b)
    rows = []
    for name in b:
        own_a, own_b = own_box(a[name]), own_box(b[name])
        aligned = chamfer_and_f(apply(align(own_a, own_b), own_a), own_b)
        given = chamfer_and_f(own_a, own_b)
        iou = [box_iou(bounding_box(apply(m, a[name])), bounding_box(b[name])) for m in (matrix, np.eye(4))]
        rows.append([*aligned, *given, *iou])
    means = dict(zip(("cd_o", "f_o", "cd_o_raw", "f_o_raw", "iou_b", "iou_b_raw"), np.mean(rows, axis=0)))
    return {"cd_s": cd_s, "f_s": f_s, "f_s_raw": f_s_raw, **means}


def main() -> int:
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
    from maquette.evaluate import score_scene

    predicted, truth = scene(seed=args.seed)
    sides = {"maquette": lambda: score_scene(predicted, truth, workers=args.threads).to_dict(),
             "open3d": lambda: with_open3d(predicted, truth)}  # fmt: skip
    results, seconds = {}, {name: [] for name in sides}
    sides["maquette"]()  # compiles
    for _ in range(args.runs):
        for name, side in sides.items():
            start = time.perf_counter()
            results[name] = side()
            seconds[name].append(time.perf_counter() - start)
    print(f"seven objects, 20,480 points each, {args.threads} threads, Open3D {open3d.__version__}, Python {sys.version.split()[0]}\n")
    print(f"{'':10}{'maquette':>12}{'open3d':>12}")
    for key in results["open3d"]:
        print(f"{key:10}{results['maquette'][key]:12.5f}{results['open3d'][key]:12.5f}")
    best = {name: min(values) for name, values in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["maquette"], seconds["open3d"])]
    print(f"{'seconds':10}{best['maquette']:12.2f}{best['open3d']:12.2f}   best of {args.runs}")
    print(f"\nOpen3D takes {best['open3d'] / best['maquette']:.1f} times as long (run by run: {', '.join(f'{r:.1f}' for r in ratios)})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
