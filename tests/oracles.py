"""The slowest, most obvious Python that could be right: an oracle per operation, the definition of its contract."""

from __future__ import annotations

import numpy as np


def scale_add(a: np.ndarray, b: np.ndarray, factor: int) -> np.ndarray:
    bits = a.dtype.itemsize * 8
    values = [(int(x) + factor * int(y)) % 2**bits for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    return np.array(values, a.dtype).reshape(a.shape)


# --- components


def neighbours(connectivity: int) -> list[tuple[int, int, int]]:
    steps = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    most = {6: 1, 18: 2, 26: 3}[connectivity]
    return [s for s in steps if 0 < abs(s[0]) + abs(s[1]) + abs(s[2]) <= most]


def connected_components(
    labels: np.ndarray,
    connectivity: int,
    background: int | None = 0,
    periodic: bool = False,
    delta: float | None = None,
) -> np.ndarray:
    """Flood from each voxel not yet labelled, in raster order."""
    volume = labels.reshape((1,) * (3 - labels.ndim) + labels.shape)
    values = volume.tolist()
    out = np.zeros(volume.shape, np.int64)
    count = 0
    for seed in np.ndindex(*volume.shape):
        if out[seed] or (background is not None and values[seed[0]][seed[1]][seed[2]] == background):
            continue
        count += 1
        out[seed] = count
        stack = [seed]
        while stack:
            p = stack.pop()
            a = values[p[0]][p[1]][p[2]]
            for step in neighbours(connectivity):
                q = tuple(c + s for c, s in zip(p, step, strict=True))
                if periodic:
                    q = tuple(c % n for c, n in zip(q, volume.shape, strict=True))
                elif any(c < 0 or c >= n for c, n in zip(q, volume.shape, strict=True)):
                    continue
                b = values[q[0]][q[1]][q[2]]
                if out[q] or (background is not None and b == background):
                    continue
                if a == b if delta is None else abs(a - b) <= delta:
                    out[q] = count
                    stack.append(q)
    return out.reshape(labels.shape)


# Distances


def squared_distances(labels: np.ndarray, weights: tuple[int, ...], border: bool, with_sign: bool) -> np.ndarray:
    """Every voxel against every other: squared distance to the nearest voxel of another label, -1 where there is none.

    Integers throughout; background is 0 without sign and a label with it. The border is a shell of no label at all.
    """
    shape, pad = labels.shape, int(border)
    ids = [None if label == 0 and not with_sign else int(label) for label in labels.ravel()]
    nothing = object()
    sites = [(tuple(at), ids[i]) for i, at in enumerate(np.ndindex(shape))]
    if pad:
        shell = np.ones([n + 2 for n in shape], bool)
        shell[(slice(1, -1),) * len(shape)] = False
        sites += [(tuple(c - 1 for c in at), nothing) for at in np.argwhere(shell).tolist()]
    where = np.array([at for at, _ in sites], np.int64).reshape(len(sites), len(shape))
    keys = {key: number for number, key in enumerate(dict.fromkeys(key for _, key in sites))}
    which = np.array([keys[key] for _, key in sites])
    out = np.zeros(labels.size, np.int64)
    for i, at in enumerate(np.ndindex(shape)):
        if ids[i] is None:
            continue
        others = where[which != which[i]]
        distances = ((others - np.array(at)) ** 2 * np.array(weights, np.int64)).sum(1)
        out[i] = distances.min() if len(others) else -1
    return out.reshape(shape)


def nearest_background(labels: np.ndarray, weights: tuple[int, ...]) -> np.ndarray:
    """Every voxel against every background voxel in order of index, the first of the nearest."""
    sites = np.argwhere(labels == 0)
    flat = np.flatnonzero(labels.ravel() == 0)
    out = np.full(labels.size, -1, np.int64)
    for i, at in enumerate(np.ndindex(labels.shape)):
        if len(sites):
            out[i] = flat[((sites - np.array(at)) ** 2 * np.array(weights, np.int64)).sum(1).argmin()]
    return out.reshape(labels.shape)


def blocked_distances(labels: np.ndarray, graph: np.ndarray, weights: tuple[int, ...], border: bool) -> np.ndarray:
    """Four times the squared distances behind a voxel graph, -1 for infinity: the half-voxel grid, written out."""
    dims = labels.ndim
    fine = np.zeros([2 * n for n in labels.shape], np.uint8)
    for corner in np.ndindex((2,) * dims):
        open_ = labels != 0
        if sum(corner) == 1:
            bit = 4 ** corner.index(1)
            open_ = open_ & (graph & np.array(bit, graph.dtype)).astype(bool)
        fine[tuple(slice(c, None, 2) for c in corner)] = open_
    if border:  # half a spacing beyond the last centre; the first is as far from the shell before it
        for axis in range(dims):
            fine[(slice(None),) * axis + (slice(-1, None),)] = 0
    return squared_distances(fine, weights, border, False)[(slice(None, None, 2),) * dims]


# ---- labels ----


def unique(labels: np.ndarray) -> dict[int, int]:
    """Label -> number of voxels, ascending by label."""
    counts: dict[int, int] = {}
    for v in labels.ravel().tolist():
        counts[int(v)] = counts.get(int(v), 0) + 1
    return dict(sorted(counts.items()))


def renumber(
    labels: np.ndarray, order: str = "first", start: int = 1, keep_zero: bool = True
) -> dict[int, int]:
    """Old id -> new id, ascending by new id."""
    values = [int(v) for v in labels.ravel().tolist()]
    ids = list(dict.fromkeys(values))
    if order == "size":
        ids.sort(key=lambda v: -values.count(v))
    table = {0: 0} if keep_zero and 0 in ids else {}
    for v in ids:
        if v not in table:
            table[v] = start + len(table) - (1 if keep_zero and 0 in ids else 0)
    return table


def around(point: tuple[int, ...], shape: tuple[int, ...], axes: int) -> list[tuple[int, ...]]:
    """The points a step away that changes at most so many axes."""
    steps = [(-1, 0, 1)] * len(shape)
    found = []
    for step in np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, len(shape)).tolist():
        if 0 < sum(map(abs, step)) <= axes:
            other = tuple(p + s for p, s in zip(point, step, strict=True))
            if all(0 <= o < n for o, n in zip(other, shape, strict=True)):
                found.append(other)
    return found


def objects(labels: np.ndarray, axes: int, zero_axes: int = 0) -> list[list[tuple[int, ...]]]:
    """Connected sets of one label by first voxel; those of label 0 where zero_axes says how."""
    seen = np.zeros(labels.shape, bool)
    found = []
    for start in np.ndindex(labels.shape):
        if seen[start] or (labels[start] == 0 and not zero_axes):
            continue
        seen[start] = True
        members = [start]
        for point in members:
            for other in around(point, labels.shape, axes if labels[start] != 0 else zero_axes):
                if not seen[other] and labels[other] == labels[start]:
                    seen[other] = True
                    members.append(other)
        found.append(members)
    return found


def on_border(point: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return any(p in (0, n - 1) for p, n in zip(point, shape, strict=True))


def keep_objects(labels: np.ndarray, kept: list[list[tuple[int, ...]]]) -> np.ndarray:
    out = np.zeros_like(labels)
    for members in kept:
        for point in members:
            out[point] = labels[point]
    return out


def dust(labels, axes, low, high, border=None, invert=False):
    kept = []
    for members in objects(labels, axes):
        stays = low <= len(members) < high
        if border and any(on_border(p, labels.shape) for p in members):
            stays = border == "keep"
        if stays != invert:
            kept.append(members)
    return keep_objects(labels, kept), len(kept)


def largest_k(labels, k, axes):
    kept = sorted(objects(labels, axes), key=lambda members: -len(members))[:k]
    return keep_objects(labels, kept), len(kept)


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """By the words of the contract: take an object away and see what cannot get out any more."""
    nodes = objects(labels, labels.ndim, 1)
    of = {point: k for k, members in enumerate(nodes) for point in members}
    touching: list[set[int]] = [set() for _ in nodes]
    for point, k in of.items():
        touching[k] |= {of[q] for q in around(point, labels.shape, 1)} - {k}
    outside = {k for k, members in enumerate(nodes) if any(on_border(p, labels.shape) for p in members)}
    enclosed_by: list[set[int]] = [set() for _ in nodes]
    for wall, members in enumerate(nodes):
        if labels[members[0]] == 0:
            continue
        reached = [k for k in outside if k != wall]
        for k in reached:
            reached += [other for other in touching[k] if other != wall and other not in reached]
        for k in set(range(len(nodes))) - set(reached) - {wall}:
            enclosed_by[k].add(wall)
    out = labels.copy()
    for k, walls in enumerate(enclosed_by):
        outermost = [w for w in walls if not enclosed_by[w] & walls]
        assert len(outermost) == (1 if walls else 0)
        for wall in outermost:
            for point in nodes[k]:
                out[point] = labels[nodes[wall][0]]
    return out
