"""Exact nearest neighbours between point clouds, fast when the clouds are far apart. Used by
registration and evaluation.

A k-d tree with tight boxes, written for numba because the general one of SciPy takes ten times
longer where it matters here: a prediction that misses the truth, where most of a tree is about
equally far. Two things help: queries that come in spatial order start from the answer of the query
before, an upper bound that is nearly tight; and the compiled search holds no lock, so threads run
side by side. Results equal brute force; among equally near points any may be returned, always the
same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float64, Int64

from maquette.geometry.transforms import OtherPoints, Points
from maquette.geometry.vectors import row_of, squared_distance

LEAF = 8  # most points in a leaf
compiled = numba.njit(cache=True, nogil=True)  # a kernel, called from Python
inlined = numba.njit(cache=True, nogil=True, inline="always")  # a part of kernels
STACK = 128  # deeper than any tree of this layout can push


@dataclass(frozen=True, eq=False)
class PointTree:
    """A complete binary tree over points: node i has the children 2 i + 1 and 2 i + 2, the last
    level are leaves.
    """

    points: Float64[np.ndarray, "N 3"]  # as given
    order: Int64[np.ndarray, " N"]  # sorted_points = points[order]
    sorted_points: Float64[np.ndarray, "N 3"]  # neighbours in space are neighbours in memory
    starts: Int64[np.ndarray, " leaves"]  # leaf l: sorted_points[starts[l]:starts[l + 1]]
    boxes: Float64[np.ndarray, "nodes 6"]  # 2 K - 1: lower and upper corner of each node


def build_tree(points: Points) -> PointTree:
    """Index points, N >= 1."""
    points = np.ascontiguousarray(points, dtype=np.float64)
    levels = max(0, int(np.ceil(np.log2(len(points) / LEAF))))
    order, starts = _split(points, levels)
    ordered = points[order]
    return PointTree(points, order, ordered, starts, _boxes(ordered, starts, levels))


def as_tree(cloud: Points | PointTree) -> PointTree:
    """Index points unless that has been done."""
    return cloud if isinstance(cloud, PointTree) else build_tree(cloud)


def nearest(
    tree: PointTree, queries: OtherPoints, reach: float = np.inf
) -> tuple[Float64[np.ndarray, " M"], Int64[np.ndarray, " M"]]:
    """Distance and index into ``tree.points`` of the point nearest to each query.

    Only points nearer than ``reach`` count; where there is none the distance is inf and the index
    is N. Fastest when neighbouring queries are neighbours in space, as in ``sorted_points`` of
    their own tree.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float64)
    limit = float(reach) ** 2
    squared, index = _search(queries, tree.sorted_points, tree.starts, tree.boxes, limit)
    found = index >= 0
    distance = np.where(found, np.sqrt(squared), np.inf)
    return distance, np.where(found, tree.order[index], len(tree.points))


@compiled
@no_type_check  # numba has types of its own
def _split(points: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Halve the points ``levels`` times at the median of their widest axis -> order (N,), leaf
    starts (2^levels + 1,).
    """
    count = len(points)
    order = np.arange(count)
    edges = np.array([0, count])
    for _ in range(levels):
        finer = np.empty(2 * len(edges) - 1, np.int64)
        for part in range(len(edges) - 1):
            start = edges[part]
            end = edges[part + 1]
            middle = (start + end) // 2
            finer[2 * part] = start
            finer[2 * part + 1] = middle
            axis = _widest_axis(points, order, start, end)
            _select(points, order, axis, start, end - 1, middle)
        finer[-1] = count
        edges = finer
    return order, edges


@compiled
@no_type_check  # numba has types of its own
def _widest_axis(
    points: np.ndarray,
    order: np.ndarray,
    start: int,
    end: int,
) -> int:
    """The axis along which ``points[order[start:end]]`` spread the most."""
    axis = 0
    widest = -1.0
    for k in range(3):
        low = np.inf
        high = -np.inf
        for i in range(start, end):
            low = min(low, points[order[i], k])
            high = max(high, points[order[i], k])
        if high - low > widest:
            axis = k
            widest = high - low
    return axis


@compiled
@no_type_check  # numba has types of its own
def _select(
    points: np.ndarray,
    order: np.ndarray,
    axis: int,
    first: int,
    last: int,
    middle: int,
) -> None:
    """Quickselect in place: afterwards nothing before ``middle`` is larger, nothing behind it
    smaller, along ``axis``.
    """
    while first < last:
        pivot = points[order[(first + last) // 2], axis]
        i = first
        j = last
        while i <= j:
            while points[order[i], axis] < pivot:
                i += 1
            while points[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            last = j
        elif middle >= i:
            first = i
        else:
            return


@compiled
@no_type_check  # numba has types of its own
def _boxes(ordered: np.ndarray, starts: np.ndarray, levels: int) -> np.ndarray:
    """(nodes, 6) lower and upper corners; leaves first, then each node around its children."""
    leaves = 1 << levels
    boxes = np.empty((2 * leaves - 1, 6))
    for leaf in range(leaves):
        for k in range(3):
            column = ordered[starts[leaf] : starts[leaf + 1], k]
            boxes[leaves - 1 + leaf, k] = column.min()
            boxes[leaves - 1 + leaf, 3 + k] = column.max()
    for node in range(leaves - 2, -1, -1):
        first = boxes[2 * node + 1]
        second = boxes[2 * node + 2]
        for k in range(3):
            boxes[node, k] = min(first[k], second[k])
            boxes[node, 3 + k] = max(first[3 + k], second[3 + k])
    return boxes


@inlined
@no_type_check  # numba has types of its own
def _box_distance(boxes: np.ndarray, node: int, point: tuple[float, float, float]) -> float:
    """Squared distance of a point to a node's box, 0 inside."""
    squared = 0.0
    for axis in range(3):
        low = boxes[node, axis]
        high = boxes[node, 3 + axis]
        beyond = max(low - point[axis], 0.0, point[axis] - high)
        squared += beyond * beyond
    return squared


@inlined
@no_type_check  # numba has types of its own
def _nearest_leaf(
    boxes: np.ndarray,
    leaves: int,
    nodes: np.ndarray,
    bounds: np.ndarray,
    top: int,
    best: float,
    point: tuple[float, float, float],
) -> tuple[int, int]:
    """The nearest leaf below the node that was taken off the stack, -1 if none is nearer than
    ``best``, and the top of the stack, on which the farther children are now.
    """
    node = nodes[top]
    bound = bounds[top]
    while node < leaves - 1 and bound < best:
        near = 2 * node + 1
        far = 2 * node + 2
        near_bound = _box_distance(boxes, near, point)
        far_bound = _box_distance(boxes, far, point)
        if far_bound < near_bound:
            near, far = far, near
            near_bound, far_bound = far_bound, near_bound
        if far_bound < best:
            nodes[top] = far
            bounds[top] = far_bound
            top += 1
        node = near
        bound = near_bound
    if bound >= best:
        return -1, top
    return node - leaves + 1, top


@compiled
@no_type_check  # numba has types of its own
def _search(
    queries: np.ndarray,
    ordered: np.ndarray,
    starts: np.ndarray,
    boxes: np.ndarray,
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance and sorted index of the nearest point within squared ``reach``, or -1; depth
    first, nearer child first.
    """
    leaves = len(starts) - 1
    squared = np.empty(len(queries))
    index = np.empty(len(queries), np.int64)
    nodes = np.empty(STACK, np.int64)
    bounds = np.empty(STACK)
    answer = -1
    for q in range(len(queries)):
        query = row_of(queries, q)
        best = reach
        found = -1
        if answer >= 0:
            d = squared_distance(row_of(ordered, answer), query)
            if d < best:
                best = d
                found = answer
        top = 1
        nodes[0] = 0
        bounds[0] = _box_distance(boxes, 0, query)
        while top > 0:
            top -= 1
            if bounds[top] >= best:
                continue
            leaf, top = _nearest_leaf(boxes, leaves, nodes, bounds, top, best, query)
            if leaf < 0:
                continue
            for i in range(starts[leaf], starts[leaf + 1]):
                d = squared_distance(row_of(ordered, i), query)
                if d < best:
                    best = d
                    found = i
        squared[q] = best
        index[q] = found
        if found >= 0:
            answer = found
    return squared, index
