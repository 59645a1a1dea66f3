"""The slowest, most obvious Python that could be right: an oracle per operation, the definition of its contract."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from fractions import Fraction

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


def renumber(labels: np.ndarray, order: str = "first", start: int = 1, keep_zero: bool = True) -> dict[int, int]:
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


# --- statistics

STEPS = [s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]


def as_volume(array: np.ndarray) -> np.ndarray:
    return array.reshape((1,) * (3 - array.ndim) + array.shape)


def statistics_cells(labels: np.ndarray, background: int | None) -> dict[int, list[int]]:
    """Per id: voxels, first flat index, lowest and highest coordinates, their sums, the sums of their products (zz yy
    xx zy zx yx), and the number of voxels equal to their neighbour along each of the 13 steps.
    """
    volume = as_volume(labels)
    places: dict[int, list[tuple[int, ...]]] = {}
    for where in np.ndindex(volume.shape):
        if background is None or int(volume[where]) != background:
            places.setdefault(int(volume[where]), []).append(where)
    cells = {}
    for label, members in sorted(places.items()):
        z, y, x = zip(*members, strict=True)
        inside = set(members)
        equal = [sum(tuple(map(sum, zip(m, s, strict=True))) in inside for m in members) for s in STEPS]
        products = [
            sum(p * q for p, q in zip(a, b, strict=True)) for a, b in [(z, z), (y, y), (x, x), (z, y), (z, x), (y, x)]
        ]
        first = int(np.ravel_multi_index(members[0], volume.shape))
        low, high, sums = ([f(a) for a in (z, y, x)] for f in (min, max, sum))
        cells[label] = [len(members), first, *low, *high, *sums, *products, *equal]
    return cells


def covariance(members: list[tuple[int, ...]], spacing: tuple[float, ...]) -> np.ndarray:
    """Of voxel centres in nanometres, from exact fractions."""
    n, dims = len(members), len(spacing)
    mean = [Fraction(sum(m[a] for m in members), n) for a in range(dims)]
    exact = [[sum((m[a] - mean[a]) * (m[b] - mean[b]) for m in members) / n for b in range(dims)] for a in range(dims)]
    return np.array([[float(exact[a][b]) * spacing[a] * spacing[b] for b in range(dims)] for a in range(dims)])


def contacts(
    labels: np.ndarray, connectivity: int, background: int | None, periodic: bool | tuple[bool, ...]
) -> dict[tuple[int, int], tuple[list[int], int]]:
    """Per touching pair (a, b), a < b: the faces it shares across each axis, and its neighbouring pairs of voxels."""
    rings = periodic if isinstance(periodic, tuple) else (periodic,) * labels.ndim
    out: dict[tuple[int, int], tuple[list[int], int]] = {}
    reach = {6: 1, 18: 2, 26: 3}[connectivity]
    steps = [s for s in itertools.product((-1, 0, 1), repeat=labels.ndim) if any(s) and s > (0,) * labels.ndim]
    steps = [s for s in steps if sum(map(abs, s)) <= reach]
    for p in np.ndindex(labels.shape):
        for step in steps:
            q = tuple(c + s for c, s in zip(p, step, strict=True))
            q = tuple(c % n if ring else c for c, n, ring in zip(q, labels.shape, rings, strict=True))
            if any(c < 0 or c >= n for c, n in zip(q, labels.shape, strict=True)):
                continue
            a, b = sorted((int(labels[p]), int(labels[q])))
            if a == b or background in (a, b):
                continue
            faces, neighbours = out.setdefault((a, b), ([0] * labels.ndim, 0))
            if sum(map(abs, step)) == 1:
                faces[[abs(s) for s in step].index(1)] += 1
            out[a, b] = (faces, neighbours + 1)
    return out


# --- connectivity

# The neighbour of each bit of a voxel graph, as cc3d's documentation lists them (its x, y, z are axes 0, 1, 2).
BITS_3D = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
BITS_3D += [(1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0), (1, 0, 1), (-1, 0, 1), (0, 1, 1), (0, -1, 1)]
BITS_3D += [(1, 0, -1), (-1, 0, -1), (0, 1, -1), (0, -1, -1)]
BITS_3D += [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1), (1, 1, -1), (-1, 1, -1), (1, -1, -1), (-1, -1, -1)]
BITS_2D = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]


def graph_bits(connectivity: int) -> list[tuple[int, ...]]:
    return (BITS_2D if connectivity in (4, 8) else BITS_3D)[:connectivity]


def moved(p: tuple[int, ...], step: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    q = tuple(c + s for c, s in zip(p, step, strict=True))
    return q if all(0 <= c < n for c, n in zip(q, shape, strict=True)) else None


def voxel_graph(labels: np.ndarray, connectivity: int) -> np.ndarray:
    out = np.zeros(labels.shape, "u4" if connectivity > 8 else "u1")
    for p in np.ndindex(labels.shape):
        for bit, step in enumerate(graph_bits(connectivity)):
            q = moved(p, step, labels.shape)
            if q is None or labels[p] == labels[q]:
                out[p] |= 1 << bit
    return out


def components_of_graph(graph: np.ndarray, connectivity: int) -> np.ndarray:
    """Flood over the edges whose bit is set in the voxel that comes later in C order."""
    links: dict[tuple[int, ...], list[tuple[int, ...]]] = {p: [] for p in np.ndindex(graph.shape)}
    for p in links:
        for bit, step in enumerate(graph_bits(connectivity)):
            q = moved(p, step, graph.shape)
            if q is not None and q < p and int(graph[p]) >> bit & 1:
                links[p].append(q)
                links[q].append(p)
    out = np.zeros(graph.shape, np.int64)
    for seed in links:
        if out[seed]:
            continue
        out[seed] = out.max() + 1
        stack = [seed]
        while stack:
            p = stack.pop()
            for q in links[p]:
                if not out[q]:
                    out[q] = out[p]
                    stack.append(q)
    return out


# --- morphology


def squared_distance(p: tuple[int, ...], q: tuple[int, ...], spacing: tuple[float, ...]) -> Fraction:
    return sum(((a - b) * Fraction(repr(float(s)))) ** 2 for a, b, s in zip(p, q, spacing, strict=True)) + Fraction(0)


def erode(labels: np.ndarray, radius: float, spacing: tuple[float, ...]) -> np.ndarray:
    places = list(np.ndindex(labels.shape))
    limit = Fraction(repr(float(radius))) ** 2
    out = labels.copy()
    for p in places:
        if any(labels[q] != labels[p] and squared_distance(p, q, spacing) <= limit for q in places):
            out[p] = 0
    return out


def dilate(labels: np.ndarray, radius: float, spacing: tuple[float, ...]) -> np.ndarray:
    labelled = [q for q in np.ndindex(labels.shape) if labels[q] != 0]
    limit = Fraction(repr(float(radius))) ** 2
    out = labels.copy()
    for p in np.ndindex(labels.shape):
        if labels[p] == 0 and labelled:
            nearest = min(labelled, key=lambda q: (squared_distance(p, q, spacing), q))
            if squared_distance(p, nearest, spacing) <= limit:
                out[p] = labels[nearest]
    return out


# --- affinities


def affinities(labels, offsets, ignored=(), mask=None):
    """(affinities, valid), both of bool."""
    out = np.zeros((len(offsets), *labels.shape), bool)
    valid = np.zeros_like(out)
    for k, offset in enumerate(offsets):
        for p in np.ndindex(labels.shape):
            q = moved(p, offset, labels.shape)
            ends = [p, q]
            if q is None or any(int(labels[e]) in ignored or (mask is not None and not mask[e]) for e in ends):
                continue
            valid[(k, *p)] = True
            out[(k, *p)] = labels[p] == labels[q] != 0
    return out, valid


# --- watershed


def nearest_edges(affinities, mask=None, per_section=False):
    """(affinity, id, voxel before, voxel, axis) of all nearest edges, voxels as flat indices."""
    channels, shape = affinities.shape[0], affinities.shape[1:]
    edges = []
    for v, p in enumerate(np.ndindex(shape)):
        for c in range(channels):
            q = moved(p, tuple(-int(a == c) for a in range(channels)), shape)
            if q is None or (per_section and c == 0) or (mask is not None and not (mask[p] and mask[q])):
                continue
            edges.append((affinities[(c, *p)], v * channels + c, int(np.ravel_multi_index(q, shape)), v, c))
    return edges


def labels_of_links(n, links):
    """Components of what links name, numbered by smallest member; the rest is 0."""
    name = list(range(n))
    for a, b in links:
        a, b = sorted((name[a], name[b]))
        name = [a if m == b else m for m in name]
    linked = {v for link in links for v in link}
    order = {root: k + 1 for k, root in enumerate(sorted({name[v] for v in linked}))}
    return np.array([order[name[v]] if v in linked else 0 for v in range(n)], np.int64)


def strict_watershed(affinities, low, high, mask=None, per_section=False):
    shape = affinities.shape[1:]
    edges = nearest_edges(affinities, mask, per_section)
    links = {(a, b) for value, _, a, b, _ in edges if value >= high}
    for v in range(int(np.prod(shape))):
        mine = [e for e in edges if v in e[2:4] and e[0] > low]
        if mine:
            links.add(min(mine, key=lambda e: (-float(e[0]), e[1]))[2:4])
    return labels_of_links(int(np.prod(shape)), sorted(links)).reshape(shape)


def waterz_watershed(affinities, low, high, mask=None, per_section=False):
    """Steepest ascent with plateaus divided by a queue: what a voxel keeps is the last of its directions that
    nobody keeps in return.
    """
    shape = affinities.shape[1:]
    n = int(np.prod(shape))
    around = {v: {} for v in range(n)}
    for value, _, a, b, axis in nearest_edges(affinities, mask, per_section):
        around[a]["+", axis] = (value, b)
        around[b]["-", axis] = (value, a)
    places = [("-", a) for a in range(len(shape))] + [("+", a) for a in range(len(shape))]
    kept = {}
    for v in range(n):
        most = max((value for value, _ in around[v].values()), default=low)
        picked = [d for d in places if d in around[v] and around[v][d][0] >= min(most, high)]
        kept[v] = picked if most > low else []

    def back(d):
        return ("-" if d[0] == "+" else "+", d[1])

    queue = [v for v in range(n) if any(back(d) not in kept[around[v][d][1]] for d in kept[v])]
    seen = set(queue)
    for v in queue:
        last = []
        for d in kept[v]:
            other = around[v][d][1]
            if back(d) not in kept[other]:
                last = [d]
            elif other not in seen:
                seen.add(other)
                queue.append(other)
        kept[v] = last
    links = {tuple(sorted((v, around[v][d][1]))) for v in range(n) for d in kept[v]}
    return labels_of_links(n, sorted(links)).reshape(shape)


# --- region graph


def grid_of(value, dtype) -> int:
    """The integer that sums are made of: uint8 as it is, floats in steps of 2**-24, halves up."""
    if np.dtype(dtype) == np.uint8:
        return int(value)
    return int((Fraction(float(value)) * 2**24 + Fraction(1, 2)) // 1)


def bin_of(value, dtype) -> int:
    return int(value) if np.dtype(dtype) == np.uint8 else min(255, int(Fraction(float(value)) * 256 // 1))


def region_graph(affinities, fragments, offsets, core=None, origin=None, whole=None):
    """(u, v) -> a dict of what is known of the edge, and node -> voxels in the core."""
    dims = fragments.ndim
    core = core or tuple(slice(0, n) for n in fragments.shape)
    origin = origin or (0,) * dims
    whole = whole or tuple(o + n for o, n in zip(origin, fragments.shape, strict=True))
    edges: dict[tuple[int, int], dict] = {}
    nodes: dict[int, int] = {}
    for p in np.ndindex(fragments.shape):
        if not all(s.start <= c < s.stop for c, s in zip(p, core, strict=True)):
            continue
        if fragments[p]:
            nodes[int(fragments[p])] = nodes.get(int(fragments[p]), 0) + 1
        voxel = int(np.ravel_multi_index([c + o for c, o in zip(p, origin, strict=True)], whole))
        for k, step in enumerate(offsets):
            q = moved(p, step, fragments.shape)
            if q is None or fragments[p] == fragments[q] or not fragments[p] or not fragments[q]:
                continue
            pair = tuple(sorted((int(fragments[p]), int(fragments[q]))))
            value = affinities[(k, *p)]
            edge = edges.setdefault(
                pair, {"values": [], "sum": 0, "faces": [0] * dims, "id": voxel * len(offsets) + k, "bins": {}}
            )
            edge["values"].append(value)
            edge["sum"] += grid_of(value, affinities.dtype)
            edge["id"] = min(edge["id"], voxel * len(offsets) + k)
            if sum(map(abs, step)) == 1:
                edge["faces"][[abs(s) for s in step].index(1)] += 1
            b = bin_of(value, affinities.dtype)
            edge["bins"][b] = edge["bins"].get(b, 0) + 1
    for pair in edges:
        for node in pair:
            nodes.setdefault(node, 0)
    return dict(sorted(edges.items())), dict(sorted(nodes.items()))


# --- mutex watershed


def _clusters_in_order(nodes, edges, seeds):
    """Edges (weight, a, b) in their order, over hashable nodes; seeds: node -> id. Returns node -> its cluster."""
    cluster = {p: p for p in nodes}
    apart = set()

    def join(a, b):
        a, b = cluster[a], cluster[b]
        for p in nodes:
            if cluster[p] == b:
                cluster[p] = a
        for pair in list(apart):
            if b in pair:
                apart.discard(pair)
                apart.add(frozenset(a if c == b else c for c in pair))

    for p in seeds:
        join(next(q for q in seeds if seeds[q] == seeds[p]), p)
    for p in seeds:
        for q in seeds:
            if seeds[p] != seeds[q]:
                apart.add(frozenset((cluster[p], cluster[q])))
    for weight, a, b in edges:
        pair = frozenset((cluster[a], cluster[b]))
        if len(pair) == 1 or weight == 0:
            continue
        if weight < 0:
            apart.add(pair)
        elif pair not in apart:
            join(a, b)
    return cluster


def mutex_watershed(values, offsets, repulsive, signed=False, kept=None, mask=None, seeds=None):
    """The sequential rule, word for word. kept(p, id) says which edges of repulsive channels stay."""
    shape = values.shape[1:]
    nodes = [p for p in np.ndindex(shape) if mask is None or mask[p]]
    edges = []
    for index, p in enumerate(np.ndindex(shape)):
        for k, offset in enumerate(offsets):
            q, number = moved(p, offset, shape), index * len(offsets) + k
            if q is None or (mask is not None and not (mask[p] and mask[q])):
                continue
            if repulsive[k] and kept is not None and not kept(p, number):
                continue
            value = values[(k, *p)]
            if signed:
                weight = float(value)
            elif values.dtype == np.uint8:
                weight = int(value) - 255 if repulsive[k] else int(value)
            else:
                value = np.float32(value)
                weight = float(-(np.float32(1) - value) if repulsive[k] else value)
            edges.append((-abs(weight), number, weight, p, q))
    ordered = [(weight, p, q) for _, _, weight, p, q in sorted(edges)]
    seeded = {} if seeds is None else {p: int(seeds[p]) for p in nodes if seeds[p]}
    cluster = _clusters_in_order(nodes, ordered, seeded)
    names = {cluster[p]: i for p, i in seeded.items()}
    out = np.zeros(shape, np.int64)
    following = 1 if seeds is None else int(seeds.max(initial=0)) + 1
    for p in nodes:
        if cluster[p] not in names:
            names[cluster[p]] = following
            following += 1
        out[p] = names[cluster[p]]
    return out


def mutex_watershed_graph(edges, weights):
    """node -> segment."""
    nodes = sorted({int(v) for pair in edges for v in pair})
    order = sorted(range(len(edges)), key=lambda e: (-abs(weights[e]), e))
    cluster = _clusters_in_order(nodes, [(weights[e], int(edges[e][0]), int(edges[e][1])) for e in order], {})
    names = {}
    return {v: names.setdefault(cluster[v], len(names) + 1) for v in nodes}


# --- agglomeration


def joint_score(parts, score, unit, sizes=(0, 0)):
    """The score of an edge made of parts: dicts of sum, count, minimum, maximum and bins (bin -> count)."""
    total, count = sum(p["sum"] for p in parts), sum(p["count"] for p in parts)
    low, high = min(p["minimum"] for p in parts), max(p["maximum"] for p in parts)

    def quantile(q):
        bins = sorted(b for p in parts for b, n in p["bins"].items() for _ in range(n))
        b = bins[min(Fraction(str(q)) * len(bins) // 1, len(bins) - 1)]
        return b / 255 if unit == 255 else (b + 0.5) / 256

    if score == "mean":
        return Fraction(total, count * unit)
    if score == "sum":
        return Fraction(total, unit)
    if score in ("min", "max"):
        return {"min": low, "max": high}[score]
    if score == "absolute":
        return max((p["maximum"] for p in parts), key=lambda v: (abs(v), v))
    if score.startswith("quantile:"):
        return quantile(score[9:])
    names = {
        "mean": np.float64(total) / (np.float64(count) * unit),
        "sum": np.float64(total) / unit,
        "contact": np.float64(count),
        "min": np.float64(low),
        "max": np.float64(high),
        "smaller": np.float64(min(sizes)),
        "larger": np.float64(max(sizes)),
        "quantile": lambda q: np.float64(quantile(q)),
        "sqrt": np.sqrt,
        "step": lambda x: np.float64(x > 0),
        "least": min,
        "greatest": max,
    }
    if "median" in score:
        names["median"] = np.float64(quantile("0.5"))
    with np.errstate(all="ignore"):
        value = np.float64(eval(score, {"__builtins__": {}}, names))
    return float("-inf") if np.isnan(value) else float(value)


def merge_tree(nodes, edges, score, unit, until, cannot=(), must=(), seeds=None, big=None, constrained=False):
    """[(a, b, score, id)]: the queue, with everything computed anew at each step.

    nodes: fragment -> size; edges: (u, v) -> dict of id and what joint_score reads.
    """
    seeds = seeds or {}
    segments = {n: {n} for n in nodes}
    live = {frozenset(pair): [e] for pair, e in edges.items()}
    parted = {frozenset(pair) for pair in cannot}
    out = []

    def size(s):
        return sum(nodes[n] for n in segments[s])

    def seed_of(s):
        return {seeds[n] for n in segments[s] if n in seeds}

    def merge(a, b):
        a, b = min(a, b), max(a, b)
        segments[a] |= segments.pop(b)
        live.pop(frozenset((a, b)), None)
        for pair in [p for p in live if b in p]:
            (w,) = pair - {b}
            live.setdefault(frozenset((a, w)), []).extend(live.pop(pair))
        for pair in [p for p in parted if b in p]:
            parted.remove(pair)
            parted.add(frozenset((a, *(pair - {b}))))
        return a, b

    for pair in must:
        a, b = (next(s for s in segments if n in segments[s]) for n in pair)
        if a != b:
            out.append((*merge(a, b), float("inf"), -1))
    while True:
        found = []
        for pair, parts in live.items():
            a, b = pair
            if pair in parted or len(seed_of(a) | seed_of(b)) > 1:
                continue
            value = joint_score(parts, score, unit, (size(a), size(b)))
            if big and min(size(a), size(b)) >= big[0] and float(value) < big[1]:
                continue
            found.append((-abs(value) if constrained else -value, max(p["id"] for p in parts), value, pair))
        if not found:
            return out
        _, edge_id, value, pair = min(found, key=lambda f: f[:2])
        if float(value) < until:
            if not constrained:
                return out
            parted.add(pair)
            continue
        out.append((*merge(*pair), float(value), edge_id))


# --- multicut


def multicut(edges, costs, fixation=False, lifted=0):
    """Greedy contraction of integer costs, one edge at a time; the last `lifted` edges are. Returns node -> part."""
    nodes = sorted({int(v) for pair in edges for v in pair})
    part = {v: v for v in nodes}
    fixed = set()
    while True:
        between = {}
        for e, (a, b) in enumerate(edges):
            pair = frozenset((part[int(a)], part[int(b)]))
            if len(pair) == 2:
                cost, _, plain = between.get(pair, (0, 0, False))
                between[pair] = (cost + int(costs[e]), e, plain or e < len(edges) - lifted)
        choices = [
            (-abs(cost), e, cost, pair)
            for pair, (cost, e, plain) in between.items()
            if plain and pair not in fixed and (cost > 0 or (fixation and cost < 0))
        ]
        if not choices:
            break
        _, _, cost, pair = min(choices, key=lambda c: c[:2])
        if cost < 0:
            fixed.add(pair)
            continue
        a, b = pair
        part = {v: a if p == b else p for v, p in part.items()}
        fixed = {frozenset(a if p == b else p for p in q) for q in fixed}
    return by_first_node(part.values(), nodes)


def multicut_rounds(edges, costs):
    """Each other's best join, with those whose best is one of them and that nothing repels. Returns node -> part."""
    nodes = sorted({int(v) for pair in edges for v in pair})
    part = {v: v for v in nodes}
    while True:
        between = {}
        for e, (a, b) in enumerate(edges):
            pair = frozenset((part[int(a)], part[int(b)]))
            if len(pair) == 2:
                between[pair] = (between.get(pair, (0, 0))[0] + int(costs[e]), -e)
        best = {}  # node -> (cost, -id), its other end
        for pair, rank in between.items():
            for v in pair if rank[0] > 0 else ():
                (w,) = pair - {v}
                best[v] = max(best.get(v, (rank, w)), (rank, w))
        if not best:
            return by_first_node(part.values(), nodes)
        paired = {v for v, (_, w) in best.items() if best[w][1] == v}
        group = {v: min(w, best[w][1]) for v, (_, w) in best.items() if w in paired}
        refused = set()
        for pair, rank in between.items():
            if rank[0] < 0 and len({group.get(v, v) for v in pair}) == 1:
                refused.add(min(pair, key=lambda v: (v in paired, best[v][0])))
        name = {v: group.get(v, v) if v not in refused else v for v in part.values()}
        part = {v: name[p] for v, p in part.items()}


def by_first_node(parts, nodes):
    """node -> part, parts numbered from 1 by their smallest node."""
    names = {}
    return {v: names.setdefault(p, len(names) + 1) for v, p in zip(nodes, parts, strict=True)}


def pieces(nodes, plain):
    """What hangs together by plain edges within a set of nodes: a list of sets, by their smallest node."""
    left, out = set(nodes), []
    while left:
        piece = {min(left)}
        while more := {b for a, b in plain if a in piece and b in left and b not in piece}:
            piece |= more
        out.append(piece)
        left -= piece
    return out


def best_moves(sides, waiting, gain, limit, cost, plain):
    """The best prefix of a sequence of moves between two sets, and the gain with it."""
    sides = [set(side) for side in sides]
    moved, best = [], (gain, [])
    while len(moved) - len(best[1]) < limit:
        choices = []
        for i in waiting - set(moved):
            here, there = sides if i in sides[0] else sides[::-1]
            choices.append((sum(cost.get((i, j), 0) for j in here) - sum(cost.get((i, j), 0) for j in there), i))
        if not choices:
            break
        loss, i = min(choices)
        side = i in sides[0]
        sides[not side].remove(i)
        sides[side].add(i)
        gain -= loss
        moved.append(i)
        if gain > best[0]:
            best = (gain, list(moved))
        if not sides[not side]:
            break
        waiting = waiting | {j for k, j in plain if k == i and j in sides[not side]}
    return best


def kernighan_lin(edges, costs, patience, lifted=0, start=None):
    """Kernighan-Lin with joins of integer costs; the last `lifted` edges are. Returns node -> part."""
    nodes = sorted({int(v) for pair in edges for v in pair})
    cost, plain = {}, set()
    for e, (a, b) in enumerate(edges):
        for pair in {(int(a), int(b)), (int(b), int(a))} if a != b else ():
            cost[pair] = cost.get(pair, 0) + int(costs[e])
            if e < len(edges) - lifted:
                plain.add(pair)
    start = multicut(edges, costs, lifted=lifted) if start is None else start
    parts = [p for q in set(start.values()) for p in pieces({v for v in nodes if start[v] == q}, plain)]

    def between(a, b):
        return sum(cost.get((i, j), 0) for i in a for j in b)

    def make(a, b, join, gain, new_a, new_b):
        """Two sets in place of two; returns new parts, or None where pieces take back the gain."""
        new = pieces(new_a, plain), pieces(new_b, plain)
        lost = sum(between(p, q) for side in new for p, q in itertools.combinations(side, 2))
        if gain <= max(lost, 0):
            return None
        stay = (1, 0) if join else (1, 1)
        for side, found, n in zip((a, b), new, stay, strict=True):
            side.clear()
            side.update(*found[:n])
        return new[0][1:] + new[1][stay[1] :]

    def step(a, b):
        """The sets are changed in place; returns new parts, or None where nothing gains."""
        limit, both = patience + 4 * min(len(a), len(b)), a | b
        border = {i for i, j in plain if (i in a and j in b) or (i in b and j in a)}
        join = between(a, b)
        gain, moves = best_moves((a, b), border if b else set(a), 0, limit, cost, plain)
        choices = [(False, gain, (a - set(moves)) | (b & set(moves)), (b - set(moves)) | (a & set(moves)))]
        if b and join + sum(max(0, -between({i}, both)) for i in border) > 0:
            gain, moves = best_moves((both, set()), border, join, limit, cost, plain)
            after = (True, gain, both - set(moves), set(moves))
            choices = [after, *choices] if gain >= choices[0][1] else [*choices, after]
            choices.append((True, join, both, set()))
        for choice in choices:
            found = make(a, b, *choice)
            if found is not None:
                return found
        return None

    while True:
        changed, new = False, []
        parts = sorted(filter(None, parts), key=min)
        pairs = [(a, b) for a, b in itertools.combinations(parts, 2) if any(i in a and j in b for i, j in plain)]
        for a, b in pairs:
            found = step(a, b) if a and b else None
            if found is not None:
                changed, new = True, new + found
        parts = sorted(filter(None, parts + new), key=min)
        for a in list(parts):
            while True:
                b = set()
                found = step(a, b) if a else None
                if found is None:
                    break
                changed, parts = True, [*parts, b, *found]
        if not changed:
            break
    part = {v: k for k, p in enumerate(parts) for v in p}
    return by_first_node((part[v] for v in nodes), nodes)


def multicut_bound(edges, costs, longest):
    """The sum of all negative costs between two nodes, and what a packing of conflicted cycles gives back."""
    left = {}
    for (a, b), c in zip(edges.tolist(), costs.tolist(), strict=True):
        if a != b:
            left[frozenset((a, b))] = left.get(frozenset((a, b)), 0) + c
    demands = [tuple(sorted(pair)) for pair in sorted(left, key=sorted) if left[pair] < 0]
    positive = [set(pair) for pair in left if left[pair] > 0]
    bound = sum(c for c in left.values() if c < 0)

    def path(a, b, length):
        """By breadth-first search, the end included; None where there is none of just that length."""
        whence, queue = {a: [a]}, [a]
        for i in queue:
            for j in sorted(j for pair in positive if i in pair for j in pair - {i}):
                if j not in whence and left[frozenset((i, j))] > 0:
                    whence[j] = [*whence[i], j]
                    queue.append(j)
        return whence[b] if b in whence and len(whence[b]) == length + 1 else None

    for length in range(2, longest):
        for a, b in demands:
            first, last = sorted((a, b), key=lambda i: (sum(i in pair for pair in positive), i))
            while left[frozenset((a, b))] < 0 and (found := path(first, last, length)):
                pairs = [frozenset(pair) for pair in itertools.pairwise(found)]
                share = min([-left[frozenset((a, b))]] + [left[pair] for pair in pairs])
                bound += share
                left[frozenset((a, b))] += share
                for pair in pairs:
                    left[pair] -= share
    return bound


# --- seeds


def neighbours_around(p, shape, axes, per_section=False):
    """Neighbours in raster order: they differ along at most so many axes."""
    for step in itertools.product((-1, 0, 1), repeat=len(shape)):
        if 0 < sum(map(abs, step)) <= axes and not (per_section and step[0]):
            q = moved(p, step, shape)
            if q is not None:
                yield q


def seeded_watershed(height, seeds, axes, mask=None, per_section=False):
    """The cut of the minimum spanning forest, an edge at a time."""
    shape = height.shape
    inside = [p for p in np.ndindex(shape) if mask is None or mask[p]]
    place = {p: k for k, p in enumerate(np.ndindex(shape))}
    around = {p: [q for q in neighbours_around(p, shape, axes, per_section) if mask is None or mask[q]] for p in inside}
    steps = {p: 0 for p in inside if seeds[p] or any(height[q] < height[p] for q in around[p])}
    queue = list(steps)
    for p in queue:
        for q in around[p]:
            if q not in steps and height[q] == height[p]:
                steps[q] = steps[p] + 1
                queue.append(q)
    edges = []
    for p in inside:
        for q in around[p]:
            if place[q] < place[p]:
                both = steps.get(p, 65535) + steps.get(q, 65535) if height[p] == height[q] else 0
                high, low = max(height[p], height[q]), min(height[p], height[q])
                edges.append((high, low, both, place[p], place[q], p, q))
    tree = {p: [p] for p in inside}
    for *_, p, q in sorted(edges):
        if tree[p] is tree[q] or (any(seeds[r] for r in tree[p]) and any(seeds[r] for r in tree[q])):
            continue
        tree[p] += tree[q]
        for r in tree[q]:
            tree[r] = tree[p]
    out = np.zeros_like(seeds)
    for p in inside:
        out[p] = next((seeds[r] for r in tree[p] if seeds[r]), 0)
    return out


def lines_between(labels, height, seeds, axes, mask=None, per_section=False):
    """The labels with one voxel cleared of every pair of neighbours of different labels."""
    shape = labels.shape
    place = {p: k for k, p in enumerate(np.ndindex(shape))}
    out = labels.copy()
    for p in np.ndindex(shape):
        for q in neighbours_around(p, shape, axes, per_section):
            if not labels[p] or not labels[q] or labels[p] == labels[q]:
                continue
            later, earlier = sorted((p, q), key=lambda r: (height[r], place[r]), reverse=True)
            free = [r for r in (later, earlier) if not seeds[r]]
            if free:
                out[free[0]] = 0
    return out


def h_maxima(values, h, axes, mask=None, per_section=False):
    """Maxima by floods: from each, over ever lower values, until a higher one is met."""
    shape = values.shape
    inside = [p for p in np.ndindex(shape) if mask is None or mask[p]]
    around = {p: [q for q in neighbours_around(p, shape, axes, per_section) if mask is None or mask[q]] for p in inside}

    def reached(p, least):
        seen, queue = {p}, [p]
        for r in queue:
            for q in around[r]:
                if q not in seen and values[q] >= least:
                    seen.add(q)
                    queue.append(q)
        return seen

    out = np.zeros(shape, bool)
    levels = sorted({float(values[p]) for p in inside}, reverse=True)
    for p in inside:
        own = float(values[p])
        plateau = reached(p, own)
        if any(values[q] > own for q in plateau):
            continue  # there is a way up
        passes = [v for v in levels if v < own and any(values[q] > own for q in reached(p, v))]
        out[p] = not passes or own - passes[0] >= h
    return out


def distance_peaks(values, separation, threshold, spacing, mask=None, per_section=False):
    shape = values.shape
    inside = [p for p in np.ndindex(shape) if mask is None or mask[p]]
    part = None if mask is None else component_labels(mask, per_section)
    kept = []
    for p in sorted(inside, key=lambda p: (-float(values[p]), p)):
        around = neighbours_around(p, shape, len(shape), per_section)
        if not values[p] > threshold or any((mask is None or mask[q]) and values[q] > values[p] for q in around):
            continue
        apart = [
            sum(((a - b) * s) ** 2 for a, b, s in zip(p, q, spacing, strict=True)) >= separation**2
            or (per_section and p[0] != q[0])
            or (part is not None and part[p] != part[q])
            for q in kept
        ]
        if all(apart):
            kept.append(p)
    out = np.zeros(shape, np.int64)
    for k, p in enumerate(sorted(kept)):
        out[p] = k + 1
    return out


def component_labels(mask, per_section=False):
    """Parts of a mask, joined over faces."""
    links = []
    place = {p: k for k, p in enumerate(np.ndindex(mask.shape))}
    for p in place:
        if mask[p]:
            links.append((place[p], place[p]))
            links += [(place[p], place[q]) for q in neighbours_around(p, mask.shape, 1, per_section) if mask[q]]
    return labels_of_links(mask.size, links).reshape(mask.shape)


def distance_watershed(affinities, threshold, separation, spacing, per_section=False):
    """From the other oracles; distances from a loop over what is outside. affinities: floats, on their grid."""
    shape = affinities.shape[1:]
    total, edges = np.zeros(shape), np.zeros(shape)
    place = list(np.ndindex(shape))
    for value, _, a, b, _ in nearest_edges(affinities, None, per_section):
        for v in (a, b):
            total[place[v]] += value
            edges[place[v]] += 1
    inside = total > threshold * edges
    distance = np.zeros(shape, "f4")
    for p in place:
        if not inside[p]:
            continue
        box = [range(-1, n + 1) for n in shape]
        if per_section:
            box[0] = [p[0]]
        outside = [q for q in itertools.product(*box) if any(c < 0 or c >= n for c, n in zip(q, shape, strict=True))]
        outside += [q for q in place if not inside[q] and (not per_section or q[0] == p[0])]
        least = min(sum(((a - b) * s) ** 2 for a, b, s in zip(p, q, spacing, strict=True)) for q in outside)
        distance[p] = np.float32(np.sqrt(least))
    seeds = distance_peaks(distance, separation, 0, spacing, inside, per_section)
    return seeded_watershed(-distance, seeds, 1, inside, per_section)


def link_by_size(affinities, fragments, merge_size, merge_threshold, dust, per_section=False):
    """Zlateski and Seung: the graph of maxima, the largest first; regions as lists of voxels."""
    flat = fragments.ravel()
    best = {}
    for value, name, a, b, _ in nearest_edges(affinities, None, per_section):
        pair = tuple(sorted((int(flat[a]), int(flat[b]))))
        if pair[0] and pair[0] != pair[1]:
            most, first = best.get(pair, (-1, name))
            best[pair] = (max(most, float(value)), min(first, name))
    regions = {int(k): np.flatnonzero(flat == k).tolist() for k in np.unique(flat) if k}
    for (value, _), (a, b) in sorted(((v, p) for p, v in best.items()), key=lambda e: (-e[0][0], e[0][1])):
        joinable = value >= merge_threshold and min(len(regions[a]), len(regions[b])) < merge_size
        if regions[a] is not regions[b] and joinable:
            both = regions[a] + regions[b]
            regions = {k: both if r is regions[a] or r is regions[b] else r for k, r in regions.items()}
    out = np.zeros(flat.shape, np.int64)
    kept = {id(r): r for r in regions.values() if len(r) >= dust}
    for k, region in enumerate(sorted(kept.values(), key=min)):
        out[region] = k + 1
    return out.reshape(fragments.shape)


# --- skeletons


def _steps_along(p, members, spacing):
    """Neighbours of p among the members, with the lengths of steps in 1024ths of the longest spacing."""
    for step in itertools.product((-1, 0, 1), repeat=len(p)):
        q = tuple(a + b for a, b in zip(p, step, strict=True))
        if any(step) and q in members:
            length = np.sqrt(sum((abs(s) * nm) ** 2 for s, nm in zip(step, spacing, strict=True)))
            yield q, max(1, round(float(length / (max(spacing) / 1024))))


def _cheapest(sources, members, spacing, cost):
    """Dijkstra: voxel -> least cost from the sources (voxel -> cost there)."""
    found: dict = {}
    queue = [(c, p) for p, c in sources.items()]
    heapq.heapify(queue)
    while queue:
        key, p = heapq.heappop(queue)
        if p in found:
            continue
        found[p] = key
        for q, length in _steps_along(p, members, spacing):
            if q not in found:
                heapq.heappush(queue, (key + cost(p, q, length), q))
    return found


def skeleton_tree(members, radius, spacing, scale, const, penalty, exponent):
    """The vertices of one connected object with their parents (None for the root), in order; radius: voxel -> nm."""
    largest = max(radius[p] for p in members)
    rate = {p: 1 + round(penalty * (1 - radius[p] / largest) ** exponent) for p in members}
    far = _cheapest({min(members): 0}, members, spacing, lambda p, q, length: length)
    root = min(members, key=lambda p: (-far[p], p))
    far = _cheapest({root: 0}, members, spacing, lambda p, q, length: length)
    tree = {root: None}
    covered = {}

    def cost(p, q, length):
        return length * (rate[p] + rate[q])

    for tip in sorted(members, key=lambda p: (-far[p], p)):
        if tip in covered:
            continue
        price = _cheapest({tip: 0}, members, spacing, cost)
        at = min(tree, key=lambda p: (price[p], p))
        while at != tip:
            ways = [
                q for q, length in _steps_along(at, members, spacing) if price[q] + cost(q, at, length) == price[at]
            ]
            tree[min(ways)] = at
            at = min(ways)
        reach = {p: round((scale * radius[p] + const) / (max(spacing) / 1024)) for p in tree}
        most = max(reach.values())
        at_cost = _cheapest({p: most - r for p, r in reach.items()}, members, spacing, lambda p, q, length: length)
        covered = {p for p, c in at_cost.items() if c <= most}
    return tree


# --- embeddings


def _apart(p, q):
    return sum((a - b) ** 2 for a, b in zip(p, q, strict=True))


def mean_shift(points, steps, least, stride, far):
    """Numbers of modes from 1, 0 for none, of points of whole numbers; the bandwidth is ``steps``."""
    sample = points[::stride]
    free = set(range(len(sample)))
    modes = []

    def around(place):
        return [k for k, p in enumerate(sample) if _apart(p, place) <= steps**2]

    while free:
        seed = min(free)
        free.remove(seed)
        place, near = sample[seed], around(sample[seed])
        if len(near) * stride < least:
            continue
        for _ in range(32):
            sums = [sum(sample[k][axis] for k in near) for axis in range(len(place))]
            moved_to = tuple((Fraction(s, len(near)) + Fraction(1, 2)) // 1 for s in sums)
            near, done = around(moved_to), moved_to == place
            place = moved_to
            if done or not near:
                break
        free -= set(near)
        if all(_apart(place, mode) > steps**2 for mode in modes):
            modes.append(place)
    return [_nearest_of(p, modes, far) for p in points]


def _nearest_of(point, places, far):
    ranked = sorted((_apart(point, place), k + 1) for k, place in enumerate(places))
    return ranked[0][1] if ranked and ranked[0][0] <= far else 0


def dense_cubes(points, steps, least, far):
    """Numbers of groups of dense cubes, 0 for none."""
    cube_of = [tuple(c // steps for c in p) for p in points]
    dense = sorted({c for c in cube_of if cube_of.count(c) >= least})
    group = {c: k for k, c in enumerate(dense)}
    for _ in dense:
        for a, b in itertools.product(dense, repeat=2):
            if max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 1:
                group[a] = group[b] = min(group[a], group[b])
    middles = [tuple(c * steps + steps // 2 for c in cube) for cube in dense]
    out = []
    for cube in cube_of:
        k = _nearest_of(tuple(c * steps + steps // 2 for c in cube), middles, far)
        out.append(group[dense[k - 1]] + 1 if k else 0)
    return out


# --- contours


def _held(p, shape):
    """The place in the volume nearest to p."""
    return tuple(min(max(c, 0), n - 1) for c, n in zip(p, shape, strict=True))


def _length(a, b):
    return math.sqrt(sum((x - y) * (x - y) for x, y in zip(a, b, strict=True)))


def _ahead(points, edges, at, joint, way, window):
    """The direction from a joint over an edge and on, so many vertices, or to the next joint or end."""
    vertex = sum(edges[way]) - joint
    for _ in range(window - 1):
        if len(at[vertex]) == 2:
            way = sum(at[vertex]) - way
            vertex = sum(edges[way]) - vertex
    length = _length(points[vertex], points[joint])
    return [(a - b) / length for a, b in zip(points[vertex], points[joint], strict=True)]


def tubes_of(points, edges, window, bend):
    """The vertices of a tree in lines: at a joint the straightest two edges go on as each other, then the next two."""
    at = [[k for k, ends in enumerate(edges) if v in ends] for v in range(len(points))]
    onward = {}
    for v, ways in enumerate(at):
        ahead = {w: _ahead(points, edges, at, v, w, window) for w in ways}
        turns = [
            (sum(x * y for x, y in zip(ahead[a], ahead[b], strict=True)), a, b) for a in ways for b in ways if a < b
        ]
        for cosine, a, b in sorted(turns):
            if (len(ways) == 2 or cosine <= -math.cos(math.radians(bend))) and not {(a, v), (b, v)} & onward.keys():
                onward[a, v], onward[b, v] = b, a
    # A joint belongs to the line of its straightest pair, which was put there first, or to that of its first edge.
    owner = [next((a for a, u in onward if u == v), min(ways, default=None)) for v, ways in enumerate(at)]
    lines, done = [[v] for v, ways in enumerate(at) if not ways], set()
    for edge, start in ((k, v) for k, ends in enumerate(edges) for v in ends):
        if (edge, start) in onward or edge in done:
            continue
        line, ways, v = [start], [edge], start
        while ways[-1] is not None:
            v = sum(edges[ways[-1]]) - v
            line.append(v)
            ways.append(onward.get((ways[-1], v)))
        done |= set(ways)
        lines.append([v for v in line if owner[v] in ways])
    return [line for line in lines if line]


def split_cylinders(inside, voxels, parents, radii, spacing, ratio, window, bend, below):
    """The parts of one object, by its centre lines; numbers from 1 in no order."""
    points = [[a * nm for a, nm in zip(v, spacing, strict=True)] for v in voxels]
    flat, ones = np.zeros(inside.shape, np.uint8), np.zeros(inside.shape, np.int64)
    for k, v in enumerate(voxels):
        ones[v] = k + 1
    volume = np.bincount(seeded_watershed(flat, ones, 3, inside)[inside], minlength=len(voxels) + 1)[1:].tolist()
    parts = {}
    for line in tubes_of(points, [(p, k) for k, p in enumerate(parents) if p >= 0], window, bend):
        steps = [0, *(_length(points[a], points[b]) for a, b in itertools.pairwise(line)), 0]
        along = list(itertools.accumulate(steps))
        change = {}
        for k in range(window, len(line) - window + 1):
            sides = [range(k - window, k), range(k, k + window)]
            reach = max(radii[line[i]] for side in sides for i in side)
            areas = [sum(volume[line[i]] for i in s) / sum((steps[i] + steps[i + 1]) / 2 for i in s) for s in sides]
            if along[k - window] >= reach and along[len(line) - 1] - along[k + window - 1] >= reach:
                change[k] = max(areas) / min(areas)
        for k, v in enumerate(line):
            around = [i for i in change if abs(i - k) <= window]
            new = k == 0 or (change.get(k, 0) >= ratio and k == max(around, key=lambda i: (change[i], -i)))
            parts[v] = len(set(parts.values())) + new
    names, large = np.zeros_like(ones), np.zeros_like(ones)
    for k, v in enumerate(voxels):
        names[v] = parts[k]
    first = seeded_watershed(flat, names, 3, inside)
    sizes = np.bincount(first[inside])
    for k, v in enumerate(voxels):
        large[v] = parts[k] if sizes[parts[k]] >= below else 0
    second = seeded_watershed(flat, large, 3, inside)
    return np.where(second == 0, first, second)  # what touches no large part stays as it was


def surround_suppression(image, smooth, slope, inner, outer, alpha):
    """One picture; the taps of the two filters are given."""
    reach = len(smooth) // 2

    def filtered(values, taps, axis):
        out = np.zeros(values.shape)
        for p in np.ndindex(values.shape):
            for k, tap in enumerate(taps):
                q = tuple(c + (k - reach) * (a == axis) for a, c in enumerate(p))
                out[p] += tap * values[_held(q, values.shape)]
        return out

    image = image.astype("f8")
    along = [filtered(filtered(image, slope, a), smooth, 1 - a) for a in (0, 1)]
    strength = np.rint(np.sqrt(along[0] * along[0] + along[1] * along[1]) * 2.0**20)
    out = np.zeros(image.shape, "f4")
    for p in np.ndindex(image.shape):
        ring = [
            int(strength[q])
            for q in np.ndindex(image.shape)
            if inner < max(abs(a - b) for a, b in zip(p, q, strict=True)) <= outer
        ]
        out[p] = max(strength[p] - alpha * (sum(ring) / max(1, len(ring))), 0) / 2.0**20
    return out


def refine_contours(labels, heights, free, axes, iterations, balloon, smoothing):
    """Every label in the whole volume, voxel by voxel; heights are whole numbers."""
    shape = labels.shape

    def step(p, axis, by):
        return tuple(c + by * (a == axis) for a, c in enumerate(p))

    def slope(values, p, axis):
        return int(values[_held(step(p, axis, 1), shape)]) - int(values[_held(step(p, axis, -1), shape)])

    def beside(p):
        return [q for a in axes for by in (-1, 1) if _held(q := step(p, a, by), shape) == q]

    out = np.zeros_like(labels)
    for label in sorted(set(labels.ravel().tolist()) - {0}, reverse=True):
        inside = (labels == label).astype(int)
        for _ in range(iterations):
            swollen = inside.copy()
            for p in np.ndindex(shape):
                if balloon and free[p] and any(inside[q] == (balloon > 0) for q in beside(p)):
                    swollen[p] = balloon > 0 and (labels[p] in (0, label))
            swollen = np.where((inside == 1) & (balloon > 0), 1, swollen)
            inside = swollen.copy()
            for p in np.ndindex(shape):
                pull = sum(slope(heights, p, a) * slope(swollen, p, a) for a in axes)
                inside[p] = (swollen[p] and pull <= 0) or (pull < 0 and labels[p] in (0, label))
            for _ in range(smoothing):
                old = inside.copy()
                for p in np.ndindex(shape):
                    around = [p]
                    for a in axes:
                        around = [step(q, a, by) for q in around for by in (-1, 0, 1)]
                    votes = sum(int(old[_held(q, shape)]) for q in around)
                    inside[p] = 2 * votes > 3 ** len(axes) and labels[p] in (0, label)
        out[inside == 1] = label  # the smallest comes last
    return out


# --- matching of objects


class Overlaps:
    """Objects of two label images and the voxels that they share, counted one voxel after another."""

    def __init__(self, truth, labels, background: int | None = 0) -> None:
        self.truth: dict[int, int] = {}
        self.labels: dict[int, int] = {}
        self.pairs: dict[tuple[int, int], int] = {}
        for t, s in zip(np.ravel(truth).tolist(), np.ravel(labels).tolist(), strict=True):
            if t != background:
                self.truth[t] = self.truth.get(t, 0) + 1
            if s != background:
                self.labels[s] = self.labels.get(s, 0) + 1
            if t != background and s != background:
                self.pairs[t, s] = self.pairs.get((t, s), 0) + 1
        self.union = {(t, s): self.truth[t] + self.labels[s] - n for (t, s), n in self.pairs.items()}
        self.iou = {pair: Fraction(n, self.union[pair]) for pair, n in self.pairs.items()}

    def reaching(self, threshold: Fraction, strict: bool = False) -> list[tuple[int, int]]:
        return sorted(p for p, v in self.iou.items() if (v > threshold if strict else v >= threshold))

    def ordered(self) -> list[tuple[int, int]]:
        """By descending IoU, then true id, then label."""
        return sorted(self.pairs, key=lambda p: (-self.iou[p], p))

    def best_label(self) -> dict[int, int]:
        best: dict[int, int] = {}
        for t, s in self.ordered():
            best.setdefault(t, s)
        return best

    def best_truth(self) -> dict[int, int]:
        best: dict[int, int] = {}
        for t, s in self.ordered():
            best.setdefault(s, t)
        return best

    def gain(self, pairs) -> tuple[int, int]:
        """What a matching is worth: the sum of IoU in steps of 2**-32, then of overlap."""
        steps = sum(round(float(self.pairs[p] / self.union[p]) * 2**32) for p in pairs)
        return steps, sum(self.pairs[p] for p in pairs)

    def greedy(self, pairs) -> list[tuple[int, int]]:
        out: list[tuple[int, int]] = []
        for t, s in self.ordered():
            if (t, s) in pairs and all(t != a and s != b for a, b in out):
                out.append((t, s))
        return sorted(out)


def matchings(pairs):
    """Every one-to-one choice among pairs, one after another."""
    if not pairs:
        yield []
        return
    (t, s), rest = pairs[0], pairs[1:]
    yield from matchings(rest)
    for more in matchings([p for p in rest if p[0] != t and p[1] != s]):
        yield [(t, s), *more]


def score_ordered(overlaps: Overlaps, scores: dict[int, float], threshold: Fraction, limits, rule: str):
    """Precision at 101 recalls and the last recall, by the letter of COCO's or of MitoEM's rule."""
    low, high = limits
    inside = {t for t, size in overlaps.truth.items() if low < size <= high}
    taken: set[int] = set()
    hits: list[bool] = []
    for s in sorted(overlaps.labels, key=lambda s: (-scores[s], s)):
        mine = [p for p in overlaps.ordered() if p[1] == s]
        if rule == "coco":
            mine = [p for p in mine if overlaps.iou[p] >= threshold and p[0] not in taken]
        mine = [p for p in mine if p[0] in inside] or mine
        partner = mine[0][0] if mine and overlaps.iou[mine[0]] >= threshold else None
        if partner is None:
            if low < overlaps.labels[s] <= high:
                hits.append(False)
            continue
        taken.add(partner)
        if partner in inside:
            hits.append(True)
    if not inside:
        return None
    points = [(Fraction(sum(hits[:k]), len(inside)), sum(hits[:k]) / k) for k in range(1, len(hits) + 1)]
    curve = [max((p for r, p in points if r >= Fraction(k, 100)), default=0.0) for k in range(101)]
    return curve, float(Fraction(sum(hits), len(inside)))


def association_groups(overlaps: Overlaps) -> list[tuple[set[int], set[int]]]:
    """Sets of true objects and of segments that hang together, as TIMISE joins them."""
    edges = {(t, s) for s, t in overlaps.best_truth().items()}
    chosen = {t for t, _ in edges}
    edges |= {(t, s) for t, s in overlaps.best_label().items() if t not in chosen}
    groups = [({t}, set()) for t in overlaps.truth] + [(set(), {s}) for s in overlaps.labels]
    for t, s in edges:
        joined = [g for g in groups if t in g[0] or s in g[1]]
        groups = [g for g in groups if g not in joined]
        groups.append((set().union(*(g[0] for g in joined)), set().union(*(g[1] for g in joined))))
    return groups


# --- metrics: surfaces


def _inside(mask, p):
    return all(0 <= c < n for c, n in zip(p, mask.shape, strict=True)) and bool(mask[p])


def surface_places(mask, surface, border=True):
    """The places of a surface: voxels, or for cells corners with their codes."""
    dims = mask.ndim
    if surface == "points":
        return [p for p in np.ndindex(*mask.shape) if mask[p]]
    if surface == "voxels":
        steps = [tuple(s if a == k else 0 for a in range(dims)) for k in range(dims) for s in (-1, 1)]

        def open_to(p, step):
            q = tuple(c + s for c, s in zip(p, step, strict=True))
            if all(0 <= c < n for c, n in zip(q, mask.shape, strict=True)):
                return not mask[q]
            return border

        return [p for p in np.ndindex(*mask.shape) if mask[p] and any(open_to(p, s) for s in steps)]
    found = []
    for corner in np.ndindex(*(n + 1 for n in mask.shape)):
        around = [
            _inside(mask, tuple(c - 1 + d for c, d in zip(corner, step, strict=True)))
            for step in itertools.product((0, 1), repeat=dims)
        ]
        if any(around) and not all(around):
            found.append(corner)
    return found


def squares_between(places, others, spacing):
    """For each place the squared distance to the nearest of the others, exact; None if there are none."""
    squared = [
        [sum((Fraction(str(s)) * (a - b)) ** 2 for a, b, s in zip(p, q, spacing, strict=True)) for q in others]
        for p in places
    ]
    return [min(row) if row else None for row in squared]


# --- metrics: warping


def is_simple(inside, p, planar):
    """One part of the object touches the voxel over faces within its neighbourhood, and one part of background at all.

    ``inside(q)`` tells the object from the background.
    """
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s) and not (planar and s[0])]

    def count(members, joined):
        """Parts of the members; steps are joined if their difference passes."""
        left, parts = set(members), []
        while left:
            stack = [left.pop()]
            part = set(stack)
            while stack:
                s = stack.pop()
                near = {t for t in left if joined(tuple(abs(a - b) for a, b in zip(s, t, strict=True)))}
                left -= near
                part |= near
                stack.extend(near)
            parts.append(part)
        return parts

    at = {s: inside(tuple(c + d for c, d in zip(p, s, strict=True))) for s in steps}
    near = [s for s in steps if at[s] and sum(map(abs, s)) <= 2]
    parts = count(near, lambda d: sum(d) == 1)
    touching = [part for part in parts if any(sum(map(abs, s)) == 1 for s in part)]
    background = count([s for s in steps if not at[s]], lambda d: max(d) == 1)
    return len(touching) == 1 and len(background) == 1


def warped(truth, above, order, planar):
    """Sweeps over the places in their order, until one flips nothing."""
    volume = np.array(truth, bool).reshape((1,) * (3 - truth.ndim) + truth.shape)
    goal = np.asarray(above, bool).reshape(volume.shape)
    places = [tuple(int(c) for c in np.unravel_index(i, volume.shape)) for i in order]
    while True:
        flipped = False
        for p in places:
            if volume[p] != goal[p] and is_simple(lambda q: _inside(volume, q), p, planar):
                volume[p] = goal[p]
                flipped = True
        if not flipped:
            return volume.reshape(truth.shape)


# --- metrics: edits


def tolerant_edit_distance(truth, labels, tolerance, spacing):
    """The fewest splits and merges over all labellings that the tolerance allows, by trying every one.

    A cell, a connected part of one true object under one label, keeps its label or takes another one that has a voxel
    within the tolerance of each of its voxels. Label 0 is no object.
    """
    both = truth.astype(np.int64) * (int(labels.max(initial=0)) + 1) + labels
    parts = connected_components(both, 6, background=None)
    voxels = {v: [p for p in np.ndindex(*labels.shape) if labels[p] == v] for v in np.unique(labels).tolist()}
    limit = Fraction(str(tolerance)) ** 2
    objects, choices = [], []
    for k in range(1, int(parts.max(initial=0)) + 1):
        cell = [p for p in np.ndindex(*parts.shape) if parts[p] == k]
        own = int(labels[cell[0]])
        objects.append(int(truth[cell[0]]))
        choices.append(
            [own]
            + [v for v in voxels if v != own and all(d <= limit for d in squares_between(cell, voxels[v], spacing))]
        )
    best = None
    for chosen in itertools.product(*choices):
        pairs = {(i, j) for i, j in zip(objects, chosen, strict=True) if i and j}
        cost = 2 * len(pairs) - len({i for i, _ in pairs}) - len({j for _, j in pairs})
        best = cost if best is None else min(best, cost)
    return best or 0


# --- metrics: runs


def expected_run_length(lengths, edges, skeletons, labels, threshold, omitted, pieces, weights, forbidden):
    """ERL from its definition, edge by edge, in fractions."""
    nodes = {}
    for s, g in zip(skeletons, labels, strict=True):
        nodes[s, g] = nodes.get((s, g), 0) + 1
    merging = set(forbidden)
    for g in set(labels):
        if g and sum(1 for (_, other), n in nodes.items() if other == g and n >= threshold) > 1:
            merging.add(g)
    runs, whole = {}, {}
    for (a, b), length in zip(edges, lengths, strict=True):
        s, u, v = skeletons[a], labels[a], labels[b]
        gone = u == 0 or v == 0 if omitted == "either" else u == 0 and v == 0
        if weights == "length" or not gone:
            whole[s] = whole.get(s, 0) + length
        if not gone and u == v and u not in merging:
            runs.setdefault((s, u), []).append((a, b, length))
    squares = 0
    for found in runs.values():
        parts = []  # of connected edges: nodes and length
        for a, b, length in found:
            touching = [part for part in parts if {a, b} & part[0]]
            parts = [part for part in parts if not {a, b} & part[0]]
            joined = set().union({a, b}, *(part[0] for part in touching))
            parts.append((joined, length + sum(part[1] for part in touching)))
        if pieces == "summed":
            squares += sum(length for _, length in parts) ** 2
        elif pieces == "apart":
            squares += sum(length**2 for _, length in parts)
        else:
            squares += min(parts, key=lambda part: min(part[0]))[1] ** 2
    total = sum(whole.values())
    return Fraction(squares, total) if total else Fraction(0)


# --- metrics: the contingency table and scores of partitions


def contingency(truth, labels, ignore=(), mask=None, counts=None):
    """{(true id, label): voxels}."""
    table = {}
    for at in np.ndindex(truth.shape):
        pair = int(truth[at]), int(labels[at])
        if pair[0] not in ignore and (mask is None or mask[at]):
            table[pair] = table.get(pair, 0) + (1 if counts is None else int(counts[at]))
    return {pair: n for pair, n in sorted(table.items()) if n}


def voi(truth, labels):
    """H(labels | truth) and H(truth | labels) in bits, by the definition of conditional entropy, voxel by voxel."""
    pairs = list(zip(truth, labels, strict=True))
    split = math.fsum(math.log2(truth.count(a) / pairs.count((a, b))) for a, b in pairs)
    merge = math.fsum(math.log2(labels.count(b) / pairs.count((a, b))) for a, b in pairs)
    return split / len(pairs), merge / len(pairs)


def voxel_pairs(truth, labels, form):
    """Of all pairs of voxels those together in both, in the truth, in the labels; and all. Each pair in both orders;
    "ordered" counts each voxel with itself too."""
    n = len(truth)
    pairs = [(p, q) for p in range(n) for q in range(n) if form == "ordered" or p != q]
    a = [truth[p] == truth[q] for p, q in pairs]
    b = [labels[p] == labels[q] for p, q in pairs]
    return sum(x and y for x, y in zip(a, b, strict=True)), sum(a), sum(b), len(pairs)


def with_singletons(labels):
    """Labels where each 0 is a label of its own."""
    return [label or ("single", at) for at, label in enumerate(labels)]


# --- metrics: where the errors are


def error_places(truth, labels, mask=None, ignore=(0,), background=0):
    """Voxels of each (true id, label), and the faces of each site: (kind, owner, a, b) to (higher voxel, axis)."""
    regions, sites = {}, {}
    shown = np.ones(truth.shape, bool) if mask is None else mask != 0
    for q in np.ndindex(*truth.shape):
        if not shown[q]:
            continue
        t, j = int(truth[q]), int(labels[q])
        regions.setdefault((t, j), []).append(q)
        for axis in range(truth.ndim):
            p = tuple(c - (a == axis) for a, c in enumerate(q))
            if p[axis] < 0 or not shown[p]:
                continue
            s, i = int(truth[p]), int(labels[p])
            if background in (s, t, i, j) or s in ignore or t in ignore:
                continue
            if s == t and i != j:
                sites.setdefault((0, t, min(i, j), max(i, j)), []).append((q, axis))
            if s != t and i == j:
                sites.setdefault((1, j, min(s, t), max(s, t)), []).append((q, axis))
    return regions, sites


def voi_halves(truth, labels, ignore=(0,)):
    """H(labels | truth) and H(truth | labels) in bits, of two lists of ids."""
    pairs = [(t, j) for t, j in zip(truth, labels, strict=True) if t not in ignore]
    joint, of_truth, of_labels = Counter(pairs), Counter(t for t, _ in pairs), Counter(j for _, j in pairs)
    split = sum(n * math.log2(of_truth[t] / n) for (t, _), n in joint.items())
    merge = sum(n * math.log2(of_labels[j] / n) for (_, j), n in joint.items())
    return split / max(1, len(pairs)), merge / max(1, len(pairs))


def malis_pairs(affinities, target, offsets, known=None, labels=None):
    """Pairs that each edge decides in the pass in which it may count, and all pairs of one label and of two."""
    channels, *shape = affinities.shape
    voxels = list(np.ndindex(*shape))
    edges = []
    for number, p in enumerate(voxels):
        for k, step in enumerate(offsets):
            q = tuple(a + b for a, b in zip(p, step, strict=True))
            if all(0 <= a < n for a, n in zip(q, shape, strict=True)):
                edges.append((number * channels + k, (k, *p), p, q))
    sure = {at: known is None or bool(known[at]) for _, at, _, _ in edges}
    if labels is None:
        of = {p: {p} for p in voxels}
        for _, at, p, q in edges:
            if target[at] and sure[at]:
                both = of[p] | of[q]
                of.update((v, both) for v in both)
        label = {p: min(of[p]) if len(of[p]) > 1 else None for p in voxels}
    else:
        label = {p: labels[p] or None for p in voxels}
    pairs = np.zeros(affinities.shape, np.uint64)
    for positive in (True, False):
        key = {}
        for number, at, _, _ in edges:
            value = float(affinities[at])
            if sure[at]:
                value = min(value, float(target[at])) if positive else max(value, float(target[at]))
            key[at] = (-value, number)
        tree = {p: {p} for p in voxels}
        for _, at, p, q in sorted(edges, key=lambda edge: key[edge[1]]):
            if tree[p] is tree[q]:
                continue
            if sure[at] and bool(target[at]) == positive:
                named = [(label[a], label[b]) for a in tree[p] for b in tree[q]]
                pairs[at] = sum(a is not None and b is not None and (a == b) == positive for a, b in named)
            both = tree[p] | tree[q]
            tree.update((v, both) for v in both)
    named = [label[p] for p in voxels if label[p] is not None]
    same = sum(a == b for a, b in itertools.combinations(named, 2))
    return pairs, [same, len(named) * (len(named) - 1) // 2 - same]


def shape_descriptors(labels, weights, scale, planar=False, places=None):
    """Moments of the voxels around each that hold its label, as whole numbers, then the same few floats."""
    out = np.zeros((6 if planar else 10, *labels.shape), np.float32)
    radii = [len(row) // 2 for row in weights]
    whole = float(math.prod(map(sum, weights)))
    for p in np.ndindex(*labels.shape) if places is None else places:
        if labels[p] == 0:
            continue
        total, first, second = 0, [0] * 3, [[0] * 3 for _ in range(3)]
        for d in itertools.product(*(range(-r, r + 1) for r in radii)):
            q = tuple(a + b for a, b in zip(p, d, strict=True))
            if all(0 <= a < n for a, n in zip(q, labels.shape, strict=True)) and labels[q] == labels[p]:
                weight = math.prod(row[r + a] for row, r, a in zip(weights, radii, d, strict=True))
                total += weight
                for a in range(3):
                    first[a] += weight * d[a]
                    for b in range(3):
                        second[a][b] += weight * d[a] * d[b]
        mean = [f / total for f in first]
        variance = [max(0.0, second[a][a] / total - mean[a] * mean[a]) for a in range(3)]
        values = [0.5 + 0.5 * (mean[a] * scale[a]) for a in range(3)]
        values += [variance[a] * (scale[a] * scale[a]) for a in range(3)]
        for a, b in ((0, 1), (0, 2), (1, 2)):
            both = math.sqrt(variance[a] * variance[b])
            correlation = (second[a][b] / total - mean[a] * mean[b]) / both if both > 0 else 0.0
            values.append(0.5 + 0.5 * min(1.0, max(-1.0, correlation)))
        values.append(total / whole)
        out[(slice(None), *p)] = [values[k] for k in (1, 2, 4, 5, 8, 9)] if planar else values
    return out


def other_label_distance(labels, spacing, per_section=False, background=True):
    """Distance to the nearest voxel of another label; with ``background`` 0 on label 0, otherwise 0 is a label too."""
    out = np.full(labels.shape, np.inf)
    for p in np.ndindex(*labels.shape):
        if background and labels[p] == 0:
            out[p] = 0
            continue
        for q in np.ndindex(*labels.shape):
            if labels[q] != labels[p] and not (per_section and p[0] != q[0]):
                out[p] = min(out[p], math.dist(np.multiply(p, spacing), np.multiply(q, spacing)))
    return out


def resample(image, labels, mask, sections, grid, step, shape):
    """One sample, voxel by voxel: image (c, z, y, x), labels and mask (z, y, x), sections (z, 9), grid (z, axes, j, k).

    All in float32, one operation after another, as the contract has it.
    """
    f = np.float32

    def blend(a, b, t):
        return f(a + f(t * f(b - a)))

    def between(p, n):
        p = min(max(p, f(0)), f(n - 1))
        first = int(p)
        return first, min(first + 1, n - 1), f(p - f(first))

    def nearest(p, n):
        i = math.floor(f(p + f(0.5)))
        return i if 0 <= i < n else None

    out = np.zeros((len(image), *shape), f)
    ids, known = np.zeros(shape, labels.dtype), np.zeros(shape, bool)
    for z, y, x in np.ndindex(*shape):
        s = sections[z]
        place = [f(f(s[a] + f(s[3 + a] * f(y))) + f(s[6 + a] * f(x))) for a in range(3)]
        axes = 0 if grid is None else grid.shape[1]
        for k in range(axes):
            j, i = y // step, x // step
            v, h = f(f(y - j * step) / f(step)), f(f(x - i * step) / f(step))
            a = grid[z, k, j : j + 2, i : i + 2]
            where = 3 - axes + k
            place[where] = f(place[where] + blend(blend(a[0, 0], a[1, 0], v), blend(a[0, 1], a[1, 1], v), h))
        (z0, z1, tz), (y0, y1, ty), (x0, x1, tx) = (between(p, n) for p, n in zip(place, image.shape[1:], strict=True))
        for c, source in enumerate(image.astype(f)):
            planes = [
                blend(
                    blend(source[k, y0, x0], source[k, y0, x1], tx), blend(source[k, y1, x0], source[k, y1, x1], tx), ty
                )
                for k in (z0, z1)
            ]
            out[c, z, y, x] = blend(planes[0], planes[1], tz)
        near = tuple(nearest(p, n) for p, n in zip(place, image.shape[1:], strict=True))
        if None not in near:
            ids[z, y, x], known[z, y, x] = labels[near], mask[near]
    return out, ids, known


def weighted_neighbours(image, sections, starts, steps, weights):
    """Sections (of one sample) as weighted sums of neighbours; float32, in the order of the taps."""
    out = image.copy()
    for k, z in enumerate(sections):
        for c, y, x in np.ndindex(len(image), *image.shape[2:]):
            total = np.float32(0)
            for t in range(starts[k], starts[k + 1]):
                at = [min(max(p + s, 0), n - 1) for p, s, n in zip((z, y, x), steps[t], image.shape[1:], strict=True)]
                total = np.float32(total + np.float32(weights[t] * image[(c, *at)]))
            out[c, z, y, x] = total
    return out


def equalised(section, amount, low, high):
    """A section moved towards a flat histogram of 256 bins; in double precision."""
    at = np.clip((section.astype(float) - low) / (high - low) * 256, 0, 256)
    bins = np.minimum(at.astype(int), 255)
    counts = np.bincount(bins.ravel(), minlength=256)
    below = np.cumsum(counts) - counts
    share = (below[bins] + (at - bins) * counts[bins]) / section.size
    return section + amount * (low + share * (high - low) - section)
