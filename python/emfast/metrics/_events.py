"""Which errors there are between two volumes, what they cost and where they are: the tables of `errors.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._table import Table
from ._objects import _best
from .sites import MERGE, SPLIT, Places, Sites, _folded, _groups, places_of
from .tables import Contingency, _places

KINDS = ("split", "merge", "missed", "spurious")
MISSED, SPURIOUS = 2, 3


class Parts:
    """The pairs of a table, which are the regions in their order, and who is who among them."""

    def __init__(self, table: Contingency, background: int | None, ignore: Sequence[int], tolerance: int = 0) -> None:
        self.table, self.background, self.tolerance = table, background, tolerance
        self.places, self.counts = (table.rows, table.columns), table.counts
        self.ids = table.truth_ids, table.label_ids
        no_object = () if background is None else (background,)
        self.is_background = tuple(_places(ids, no_object, "background") for ids in self.ids)
        self.counted = ~_places(table.truth_ids, ignore, "ignore")[table.rows]
        self.voxels = int(self.counts[self.counted].sum())
        self.sizes = tuple(self._per(side, np.where(self.counted, self.counts, 0)) for side in (0, 1))
        self.is_object = self.counted.copy()  # both ids are objects
        for place, is_background in zip(self.places, self.is_background, strict=True):
            self.is_object &= ~is_background[place]
        self.is_part = self.is_object & (self.counts > tolerance)
        self.main = tuple(self._main(side) for side in (0, 1))

    def _per(self, side: int, values: np.ndarray) -> np.ndarray:
        """The sums of what pairs have, over each id."""
        out = np.zeros(len(self.ids[side]), np.int64)
        np.add.at(out, self.places[side], values)
        return out

    def _main(self, side: int) -> np.ndarray:
        """The largest pair of objects of each id, the smaller partner first; -1 where there is none."""
        pairs = np.flatnonzero(self.is_object)
        owner, partner = self.places[side][pairs], self.places[1 - side][pairs]
        order = pairs[np.lexsort((partner, -self.counts[pairs], owner))]
        main = np.full(len(self.ids[side]), -1, np.int64)
        main[self.places[side][order[::-1]]] = order[::-1]  # the last one written stays
        return main

    def pair(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The numbers of pairs that are there."""
        width = len(self.ids[1])
        found: np.ndarray = np.searchsorted(self.places[0] * width + self.places[1], rows * width + columns)
        return found

    def on_background(self, side: int) -> np.ndarray:
        """The pairs of objects of one side with the background of the other."""
        here, there = self.is_background[side][self.places[side]], self.is_background[1 - side][self.places[1 - side]]
        found: np.ndarray = np.flatnonzero(~here & there & (self.counts > self.tolerance))
        return found


@dataclass(frozen=True)
class _Found:
    """Errors: their kind, their two pairs (-1: the rest), and their site (-1: none)."""

    kind: np.ndarray
    first: np.ndarray
    second: np.ndarray
    site: np.ndarray

    @staticmethod
    def make(kind: int, first: np.ndarray, second: np.ndarray, site: np.ndarray | None = None) -> _Found:
        n = len(first)
        return _Found(np.full(n, kind), first, second, np.full(n, -1) if site is None else site)

    @staticmethod
    def join(parts: Sequence[_Found]) -> _Found:
        return _Found(*(np.concatenate(column) for column in zip(*map(_fields, parts), strict=True)))

    def select(self, rows: np.ndarray) -> _Found:
        return _Found(*(column[rows] for column in _fields(self)))


def _fields(found: _Found) -> tuple[np.ndarray, ...]:
    return found.kind, found.first, found.second, found.site


def _find(p: Parts, sites: Sites) -> _Found:
    found = []
    for kind in (SPLIT, MERGE):  # of a true object (side 0), of a segment (side 1)
        site = np.flatnonzero(sites.kinds == kind)
        of_owner, of_partner = p.ids[kind], p.ids[1 - kind]
        keys = sites.keys[site]
        owner = np.searchsorted(of_owner, keys[:, 0].view(of_owner.dtype))
        pairs = []
        for k in (1, 2):
            partner = np.searchsorted(of_partner, keys[:, k].view(of_partner.dtype))
            pairs.append(p.pair(owner, partner) if kind == SPLIT else p.pair(partner, owner))
        kept = p.is_part[pairs[0]] & p.is_part[pairs[1]]
        first, second = pairs[0][kept], pairs[1][kept]
        found += [_Found.make(kind, first, second, site[kept]), _Found.make(kind, *_apart(p, kind, first, second))]
    missed = p.on_background(0)
    missed = missed[p.counted[missed]]
    found.append(_Found.make(MISSED, missed, p.main[0][p.places[0][missed]]))
    spurious = p.on_background(1)
    column = p.places[1][spurious]
    spurious = spurious[p.counted[spurious] | (p.sizes[1][column] == 0)]
    found.append(_Found.make(SPURIOUS, spurious, p.main[1][p.places[1][spurious]]))
    return _Found.join(found)


def _apart(p: Parts, side: int, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts that no sites connect: the largest of each group but one, with the largest of their owner."""
    root = _connected(len(p.counts), first, second)
    nodes = np.flatnonzero(p.is_part)
    owner, partner = p.places[side], p.places[1 - side]
    order = nodes[np.lexsort((partner[nodes], -p.counts[nodes], root[nodes], owner[nodes]))]
    heads = order[_changes(owner[order], root[order])]
    heads = heads[np.lexsort((partner[heads], -p.counts[heads], owner[heads]))]
    new = _changes(owner[heads])
    largest = heads[new][np.cumsum(new) - 1]
    pairs = np.stack([largest[~new], heads[~new]])
    swapped = partner[pairs[0]] > partner[pairs[1]]
    pairs[:, swapped] = pairs[::-1, swapped]
    return pairs[0], pairs[1]


def _changes(*columns: np.ndarray) -> np.ndarray:
    """Whether a row differs from the one before it."""
    new = np.zeros(len(columns[0]), bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new


def _connected(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest member of each of ``count`` nodes' component, under edges a - b."""
    root = np.arange(count)
    while True:
        low, high = np.minimum(root[a], root[b]), np.maximum(root[a], root[b])
        if np.array_equal(low, high):
            return root
        np.minimum.at(root, high, low)
        while not np.array_equal(root, root[root]):
            root = root[root]


def events_of(p: Parts, sites: Sites, nm: tuple[float, ...]) -> Table:
    found = _find(p, sites)
    other = np.where(found.second >= 0, found.second, found.first)
    sides = np.where(found.kind == SPURIOUS, 1, 0)  # whose size the rest belongs to
    owner_size = np.where(sides == 0, p.sizes[0][p.places[0][found.first]], p.sizes[1][p.places[1][found.first]])
    voxels = p.counts[found.first]
    rest = np.where(p.counted[found.first], owner_size - voxels, owner_size)
    voxels_2 = np.where(found.kind <= MERGE, p.counts[other], rest)
    cost, gain = _cost(p, found, voxels, voxels_2), _gain(p, found)
    order = np.lexsort((other, found.first, found.kind, -(voxels + voxels_2), -cost))
    found, other, voxels, voxels_2 = found.select(order), other[order], voxels[order], voxels_2[order]
    faces, places = _where(p, sites, found)
    dims = len(nm)
    areas = [math.prod(nm[:axis] + nm[axis + 1 :]) for axis in range(dims)]
    scale = np.array(nm)
    return Table(
        {
            "event": np.arange(len(order)),
            "kind": np.array(KINDS)[found.kind],
            "truth": p.ids[0][p.places[0][found.first]],
            "label": p.ids[1][p.places[1][found.first]],
            "voxels": voxels,
            "truth_2": p.ids[0][p.places[0][other]],
            "label_2": p.ids[1][p.places[1][other]],
            "voxels_2": voxels_2,
            "cost": cost[order],
            "gain": gain[order],
            "faces": faces,
            "area" if dims == 3 else "length": sum((faces[:, k] * areas[k] for k in range(dims)), np.zeros(len(order))),
            "start": places.start,
            "stop": places.stop,
            "start_nm": places.start * scale,
            "stop_nm": places.stop * scale,
            "centroid_nm": places.centroid * scale,
            "point": places.point,
            "point_nm": places.point * scale,
        }
    )


def _cost(p: Parts, found: _Found, voxels: np.ndarray, voxels_2: np.ndarray) -> np.ndarray:
    bits = _info(voxels, voxels_2)
    for kind, side in ((MISSED, 1), (SPURIOUS, 0)):
        which = found.kind == kind
        size = p.sizes[side][p.places[side][found.first[which]]]  # of the background
        bits[which] += _info(voxels[which], np.maximum(size - voxels[which], 0))
    bits[~p.counted[found.first]] = 0.0
    return bits / max(1, p.voxels)


def _info(m: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The bits that tell m voxels from n others; the order of the two changes no bit of the result."""
    low, high = np.minimum(m, n), np.maximum(m, n)
    both = (low + high).astype(np.float64)
    bits = low * np.log2(both / np.maximum(low, 1)) + high * np.log2(both / np.maximum(high, 1))
    return np.where(low > 0, bits, 0.0)


def _gain(p: Parts, found: _Found) -> np.ndarray:
    """The fall of VOI if the moving voxels have another label."""
    moving, staying = found.first.copy(), found.second.copy()
    smaller_first = p.counts[found.first] < p.counts[np.maximum(found.second, 0)]
    swapped = (found.kind <= MERGE) & ~smaller_first
    moving[swapped], staying[swapped] = staying[swapped], moving[swapped]
    fresh = (found.kind == MERGE) | (staying < 0)
    voxels = p.counts[moving]
    from_size = p.sizes[1][p.places[1][moving]]
    to_size = np.where(fresh, 0, p.sizes[1][p.places[1][np.maximum(staying, 0)]])
    to_pair = np.where(fresh, 0, p.counts[np.maximum(staying, 0)])
    spurious = found.kind == SPURIOUS  # these become background
    both = np.flatnonzero(p.is_background[0][p.places[0]] & p.is_background[1][p.places[1]])
    to_size[spurious] = p.sizes[1][p.is_background[1]].sum()
    to_pair[spurious] = p.counts[both].sum()
    bits = (_xlog(from_size) - _xlog(from_size - voxels)) - (_xlog(to_size + voxels) - _xlog(to_size))
    bits += 2 * (_xlog(to_pair + voxels) - _xlog(to_pair) - _xlog(voxels))
    bits[~p.counted[moving]] = 0.0
    return bits / max(1, p.voxels)


def _xlog(n: np.ndarray) -> np.ndarray:
    n = np.maximum(n, 0)
    return n * np.log2(np.maximum(n, 1))


def _where(p: Parts, sites: Sites, found: _Found) -> tuple[np.ndarray, Places]:
    """Faces across each axis, and places: of the site, else of the smaller part."""
    shape = sites.shape
    sited = found.site >= 0
    both = found.kind <= MERGE
    second_smaller = both & (p.counts[np.maximum(found.second, 0)] <= p.counts[found.first])
    part = np.where(second_smaller, found.second, found.first)
    at_site = places_of(sites.sites[found.site[sited]], shape, faces=True)
    at_part = places_of(sites.regions[part[~sited]], shape, faces=False)
    columns = []
    for name in ("start", "stop", "centroid", "point"):
        column = np.empty((len(part), len(shape)), getattr(at_site, name).dtype)
        column[sited], column[~sited] = getattr(at_site, name), getattr(at_part, name)
        columns.append(column)
    faces = np.zeros((len(part), len(shape)), np.int64)
    faces[sited] = sites.sites[found.site[sited], 3 - len(shape) : 3].astype(np.int64)
    return faces, Places(*columns)


def objects_of_side(p: Parts, sites: Sites, side: int, nm: tuple[float, ...]) -> Table:
    """The table of true objects (side 0) or of segments (side 1)."""
    dims, own, partner = len(nm), p.places[side], p.places[1 - side]
    pairs = np.flatnonzero(p.is_object)
    union = p.sizes[0][p.places[0][pairs]] + p.sizes[1][p.places[1][pairs]] - p.counts[pairs]
    best = _best(own[pairs], p.counts[pairs], union, len(p.ids[side]))
    order, starts = _groups([own])
    cells = _folded(sites.regions, order, starts)
    is_listed = ~p.is_background[side]
    if side == 0:
        is_listed &= p.sizes[0] > 0
    listed = np.flatnonzero(is_listed)
    places = places_of(cells[listed], sites.shape, faces=False)
    best = best[listed]
    there = best >= 0
    pair = pairs[np.where(there, best, 0)] if len(pairs) else np.zeros(len(listed), np.int64)
    overlap = np.where(there, p.counts[pair] if len(pairs) else 0, 0)
    size, partner_size = p.sizes[side][listed], p.sizes[1 - side][partner[pair]] if len(pairs) else overlap
    wholes = (size + partner_size - overlap, size, partner_size)
    share = [np.where(there, overlap / np.maximum(whole, 1), 0.0) for whole in wholes]
    recall, precision = (share[1], share[2]) if side == 0 else (share[2], share[1])
    none = 0 if p.background is None else p.background
    ids = p.ids[1 - side]
    on_background = p._per(side, np.where(p.counted & p.is_background[1 - side][partner], p.counts, 0))
    volume = cells[listed, 0].astype(np.float64) * math.prod(nm)
    diameter = np.cbrt(volume * (6 / math.pi)) if dims == 3 else np.sqrt(volume * (4 / math.pi))
    return Table(
        {
            ("truth", "label")[side]: p.ids[side][listed],
            "voxels": size,
            "best": np.where(there, ids[partner[pair]] if len(pairs) else none, none).astype(ids.dtype),
            "iou": share[0],
            "recall": recall,
            "precision": precision,
            "pieces": p._per(side, p.is_part)[listed],
            ("missed", "spurious")[side]: on_background[listed] / np.maximum(size, 1),
            "volume" if dims == 3 else "area": volume,
            "diameter": diameter,
            "start": places.start,
            "stop": places.stop,
            "centroid_nm": places.centroid * np.array(nm),
            "point": places.point,
        }
    )
