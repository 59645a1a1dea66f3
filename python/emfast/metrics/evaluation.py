"""Evaluation by protocol: one call, and a card that says what a number means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._options import spacing_of
from .._table import Table
from . import classes
from .protocols import PROTOCOLS, Protocol, as_mask
from .tables import Contingency, contingency

__all__ = ["Scores", "evaluate"]


@dataclass(frozen=True, eq=False)
class Scores(Mapping[str, float]):
    """Scores by name; made by :func:`emfast.evaluate`.

    Attributes
    ----------
    protocol : Protocol
    scores : dict of str to float
    table : Contingency or None
        Of the voxels that count, where the protocol needs no more.
    intervals : dict of str to (float, float)
        The confidence interval of each score; empty unless it was asked for.
    curve : Table or None
        Scores at each threshold, where thresholds were given.
    about : dict
        Version, shapes, dtypes, spacing, checksums.
    """

    protocol: Protocol
    scores: dict[str, float]
    table: Contingency | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    curve: Table | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        width = max(map(len, self.scores), default=0)
        lines = [f"{name:<{width}}  {value:.6g}{self._between(name)}" for name, value in self.scores.items()]
        return "\n".join([f"Scores by protocol {self.protocol.name}", *lines])

    def _between(self, name: str) -> str:
        if name not in self.intervals:
            return ""
        low, high = self.intervals[name]
        return f"  ({low:.4g} to {high:.4g})"

    def card(self) -> dict[str, Any]:
        """All that is needed to quote the scores and to get them again, as plain types for JSON.

        Scores that are not finite are strings, "nan" or "inf", for JSON has no numbers for them.
        """
        return {
            "protocol": self.protocol.name,
            "about": self.protocol.about,
            "conventions": list(self.protocol.conventions),
            "scores": {name: _plain(value) for name, value in self.scores.items()},
            "intervals": {name: [_plain(v) for v in pair] for name, pair in self.intervals.items()},
            **self.about,
        }

    def to_json(self) -> str:
        """The card as JSON."""
        import json  # not at the top, for a quick start of the package

        return json.dumps(self.card(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """The card as Markdown."""
        rows = [f"| {name} | {value:.6g}{self._between(name)} |" for name, value in self.scores.items()]
        facts = [f"- {name.replace('_', ' ')}: {value}" for name, value in self.about.items()]
        return "\n".join(
            [
                f"## Protocol {self.protocol.name}",
                "",
                self.protocol.about,
                "",
                "| score | value |",
                "|---|---|",
                *rows,
                "",
                *(f"- {line}" for line in self.protocol.conventions),
                "",
                *facts,
                "",
            ]
        )


def evaluate(
    truth: Any,
    labels: Any,
    *,
    protocol: str = "general",
    spacing: Sequence[float] | None = None,
    mask: Any = None,
    thresholds: Sequence[float] | None = None,
    bootstrap: int = 0,
    block: Sequence[int] | None = None,
    checksums: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> Scores:
    """Score a segmentation as a named protocol has it.

    Parameters
    ----------
    truth, labels : (z, y, x) or (y, x) arrays of one shape
        Protocols whose scores come of a table also take volumes that can be sliced, of Zarr or h5py say, and read them
        block by block. Where a protocol takes masks, ``labels`` may be a probability in floats.
    protocol : str
        One of :func:`emfast.metrics.protocols`.
    spacing : nanometres per voxel, in axis order
        Needed by the protocols that measure distances.
    mask : array of bool or integers, of the same shape, optional
        Voxels where it is 0 do not count, beside those that the protocol leaves out.
    thresholds : sequence of float, optional
        For a probability, in floats or uint8 from 0 to 255: the scores at each come as ``curve``, those with the
        largest IoU as the result.
    bootstrap : int
        For confidence intervals (95 %): so many times blocks are drawn with replacement and scored; an interval is
        the score and 1.96 standard deviations of these on either side. (Not their quantiles: a block that is drawn
        twice has the same objects again, so that entropies of draws lie below that of the whole.) For protocols whose
        scores come of a table.
    block : sequence of int, optional
        The voxels of a block along each axis, for reading and for the bootstrap. Default for the latter: an eighth of
        each axis.
    checksums : bool
        Whether the card has the SHA-256 of both volumes. Not for volumes that are read block by block.
    progress : callable, optional
        Called with the voxels that are done and those in all, while a table is made.

    Returns
    -------
    Scores
        A mapping from names to numbers. Scores without a value, of an empty volume say, are NaN.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth = np.array([[1, 1, 2, 2], [1, 1, 2, 2]])
    >>> labels = np.array([[1, 1, 1, 2], [1, 1, 1, 2]])
    >>> scores = emfast.evaluate(truth, labels, protocol="snemi3d")
    >>> round(scores["adapted_rand_error"], 4), sorted(scores)
    (0.3333, ['adapted_rand_error', 'rand_merge', 'rand_split'])
    """
    chosen = _protocol_of(protocol)
    volumes = _Volumes.of(truth, labels, mask, spacing, chosen)
    if not isinstance(bootstrap, (int, np.integer)) or bootstrap < 0:
        raise ValueError(f"bootstrap must be a number of rounds, not negative, got {bootstrap!r}")
    if thresholds is not None and chosen.takes != "mask":
        raise ValueError(f"thresholds are for the protocols that take masks, got protocol {protocol!r}")
    if chosen.of_table is None:
        if bootstrap or block is not None:
            name = "bootstrap" if bootstrap else "block"
            raise ValueError(f"{name} needs a protocol whose scores come of a table, got {protocol!r}")
        return Scores(chosen, volumes.scores(), about=_about(volumes, checksums))
    about, curve = _about(volumes, checksums), None
    if thresholds is not None:
        curve, best = _curve(volumes, thresholds, block, progress)
        volumes, about = volumes.above(best, graded=True), about | {"threshold": best}
    elif chosen.takes == "mask":
        volumes = volumes.above(0.5, graded=False)
    if bootstrap:
        parts = [table for table in volumes.tables(block) if not table.empty]
        table = Contingency.total(parts)
        intervals = _intervals(chosen.of_table(table), parts, chosen.of_table, bootstrap)
    else:
        table, intervals = volumes.table(block, progress), {}
    return Scores(chosen, chosen.of_table(table), table, intervals, curve, about | {"table_sha256": table.hash})


# ---- volumes


@dataclass(frozen=True)
class _Volumes:
    """Both volumes and what counts, as a protocol has them."""

    protocol: Protocol
    truth: Any
    labels: Any
    mask: Any
    spacing: tuple[float, ...] | None

    @staticmethod
    def of(truth: Any, labels: Any, mask: Any, spacing: Any, protocol: Protocol) -> _Volumes:
        truth, labels = (v if hasattr(v, "shape") else np.asarray(v) for v in (truth, labels))
        shape = tuple(truth.shape)
        if tuple(labels.shape) != shape:
            raise ValueError(f"labels must have the shape of truth {shape}, got {tuple(labels.shape)}")
        if len(shape) not in (2, 3):
            raise ValueError(f"truth must be 2D or 3D, got {len(shape)}D of shape {shape}")
        if protocol.needs_spacing and spacing is None:
            raise ValueError(f"spacing must be given for the protocol {protocol.name}: nanometres per voxel, z, y, x")
        nm = None if spacing is None else spacing_of(spacing, len(shape))
        if protocol.mask is not None:
            assert nm is not None
            counted = protocol.mask(np.asarray(truth), nm)
            mask = counted if mask is None else counted & (np.asarray(mask) != 0)
        return _Volumes(protocol, truth, labels, mask, nm)

    def above(self, threshold: float, *, graded: bool) -> _Volumes:
        """With labels as a mask."""
        return replace(self, labels=as_mask(self.labels, threshold, graded=graded))

    def table(self, block: Any, progress: Any) -> Contingency:
        return contingency(
            self.truth, self.labels, ignore=self.protocol.ignore, mask=self.mask, block=block, progress=progress
        )

    def tables(self, block: Any) -> Iterator[Contingency]:
        """One for each block."""
        shape = self.truth.shape
        sides = [max(1, -(-n // 8)) for n in shape] if block is None else block
        for starts in itertools.product(*(range(0, n, s) for n, s in zip(shape, sides, strict=True))):
            box = tuple(slice(a, a + s) for a, s in zip(starts, sides, strict=True))
            part = None if self.mask is None else np.asarray(self.mask[box])
            yield contingency(
                np.asarray(self.truth[box]), np.asarray(self.labels[box]), ignore=self.protocol.ignore, mask=part
            )

    def scores(self) -> dict[str, float]:
        """Those that no table gives."""
        assert self.protocol.of_volumes is not None
        if self.mask is not None:
            raise ValueError(f"mask must be left out for the protocol {self.protocol.name}, which scores whole volumes")
        return self.protocol.of_volumes(np.asarray(self.truth), np.asarray(self.labels), self.spacing or ())


def _protocol_of(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]


# ---- thresholds


def _curve(volumes: _Volumes, thresholds: Sequence[float], block: Any, progress: Any) -> tuple[Table, float]:
    """The scores at each threshold, and the one with the largest IoU, the smallest of equals."""
    values = sorted(float(t) for t in thresholds)
    if not values or not all(0 <= t <= 1 for t in values):
        raise ValueError(f"thresholds must be numbers from 0 to 1, got {thresholds!r}")
    found = [classes.binary(volumes.above(t, graded=True).table(block, progress)).to_dict() for t in values]
    columns = {name: np.array([scores[name] for scores in found]) for name in found[0]}
    best = max(
        range(len(values)), key=lambda k: (found[k]["iou"], -k) if found[k]["iou"] == found[k]["iou"] else (-1, -k)
    )
    return Table({"threshold": np.array(values), **columns}), values[best]


# ---- confidence


def _intervals(
    whole: dict[str, float], parts: list[Contingency], scores: Callable[[Contingency], dict[str, float]], rounds: int
) -> dict[str, tuple[float, float]]:
    """Each score with the spread it has over tables of blocks drawn with replacement, the same draws every time."""
    rng = np.random.default_rng(0)
    if not parts:
        return {}
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        drawn = np.bincount(rng.integers(0, len(parts), len(parts)), minlength=len(parts))
        table = Contingency.total([_times(part, int(n)) for part, n in zip(parts, drawn, strict=True) if n])
        for name, value in scores(table).items():
            found.setdefault(name, []).append(value)
    out = {}
    for name, values in found.items():
        known = np.array([v for v in values if not math.isnan(v)])
        if name in whole and len(known):
            half = 1.96 * float(known.std())
            out[name] = (whole[name] - half, whole[name] + half)
    return out


def _times(table: Contingency, n: int) -> Contingency:
    truth, labels, counts = table.pairs
    return table if n == 1 else Contingency.from_pairs(truth, labels, counts * n)


# ---- the card


def _about(volumes: _Volumes, checksums: bool) -> dict[str, Any]:
    from .. import __version__

    facts: dict[str, Any] = {"emfast": __version__, "shape": list(map(int, volumes.truth.shape))}
    facts |= {"truth_dtype": str(volumes.truth.dtype), "labels_dtype": str(volumes.labels.dtype)}
    if volumes.spacing:
        facts["spacing_nm"] = list(volumes.spacing)
    if checksums:
        for name in ("truth", "labels"):
            volume = getattr(volumes, name)
            if isinstance(volume, np.ndarray):
                facts[f"{name}_sha256"] = _checksum(volume)
    return facts


def _checksum(array: np.ndarray) -> str:
    import hashlib  # not at the top, for a quick start of the package

    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str} {array.shape};".encode())
    digest.update(little.data)
    return digest.hexdigest()


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
