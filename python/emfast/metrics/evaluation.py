"""Evaluation by protocol: one call, and a card that says what a number means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._options import integer_of, spacing_of
from .._table import Table
from . import _blocks, classes
from ._protocols import PROTOCOLS, Protocol, as_mask
from .error_maps import error_map
from .errors import Errors, compare
from .tables import Contingency, contingency

__all__ = ["Scores", "compare_by", "error_map_by", "evaluate"]


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
            **({} if self.curve is None else {"curve": _columns(self.curve)}),
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
        Or volumes that can be sliced, of Zarr or h5py say. Protocols whose scores come of a table of objects read
        these block by block; others read them whole, as do masks, and CREMI the truth. Where a protocol takes masks,
        ``labels`` may be a probability in floats.
    protocol : str
        One of :func:`emfast.metrics.protocols`.
    spacing : nanometres per voxel, in axis order
        Needed by the protocols that measure distances.
    mask : array of bool or integers, of the same shape, optional
        Voxels where it is 0 do not count, beside those that the protocol leaves out.
    thresholds : sequence of float, optional
        For a probability, in floats or uint8 from 0 to 255. Where masks are taken, the scores at each come as
        ``curve``, those with the largest IoU as the result. Where probabilities are taken (ISBI 2012) the best of
        these counts, for each score; default: those of the protocol.
    bootstrap : int
        For confidence intervals (95 %): so many times blocks are drawn with replacement and scored; an interval is
        the score and 1.96 standard deviations of these on either side. (Not their quantiles: a block that is drawn
        twice has the same objects again, so that entropies of draws lie below that of the whole.) Within the range of
        the score. Scores that count whole objects have none, for blocks cut objects. At least 2, and two blocks. For
        protocols whose scores come of a table.
    block : sequence of int, optional
        The voxels of a block along each axis, for reading and for the bootstrap. Default for the latter: an eighth of
        each axis.
    checksums : bool
        Whether the card has the SHA-256 of both volumes. Not for volumes that are read block by block.
    progress : callable, optional
        Called with the voxels that are done and those in all, while a table is made; then with rounds, if there are.

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
    rounds = integer_of(bootstrap, "bootstrap", 0)
    if rounds == 1:
        raise ValueError("bootstrap must be 0 or at least 2 rounds, got 1")
    if rounds and chosen.of_objects == ("*",):
        raise ValueError(f"bootstrap needs a protocol with scores of voxels: those of {protocol!r} count whole objects")
    if thresholds is not None and chosen.takes not in ("mask", "probability"):
        raise ValueError(
            f"thresholds are for the protocols that take masks or probabilities, got protocol {protocol!r}"
        )
    wanted = None if thresholds is None else _listed(thresholds)
    if chosen.of_table is None:
        if rounds or block is not None:
            name = "bootstrap" if rounds else "block"
            raise ValueError(f"{name} needs a protocol whose scores come of a table, got {protocol!r}")
        about = _about(volumes, checksums)
        if chosen.thresholds:
            about["thresholds"] = wanted or list(chosen.thresholds)
        return Scores(chosen, volumes.scores(wanted), about=about)
    about, curve = _about(volumes, checksums), None
    volumes = volumes.as_counted()
    if wanted is not None:
        curve, best = _curve(volumes, wanted, block, progress)
        volumes, about = volumes.above(best, graded=True), about | {"threshold": best}
    elif chosen.takes == "mask":
        volumes = volumes.above(0.5, graded=False)
    if rounds:
        sides = volumes.sides(block)
        parts = [table for table in volumes.tables(sides, progress) if not table.empty]
        if len(parts) < 2:
            raise ValueError(f"block must be so small that voxels count in two blocks or more, got {sides}")
        table = Contingency.total(parts)
        intervals = _intervals(chosen, chosen.of_table(table), parts, rounds, progress)
        about |= {"bootstrap": rounds, "block": list(sides)}
    else:
        table, intervals = volumes.table(block, progress), {}
    return Scores(chosen, chosen.of_table(table), table, intervals, curve, about | {"table_sha256": table.hash})


def compare_by(
    protocol: str,
    truth: Any,
    labels: Any,
    *,
    spacing: Sequence[float] | None = None,
    mask: Any = None,
    block: Sequence[int] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Errors:
    """The errors among the voxels that a protocol counts: :func:`emfast.compare` with its background and mask.

    Parameters
    ----------
    protocol : str
        One of :func:`emfast.metrics.protocols` that takes objects.
    truth, labels, spacing, mask, block, progress
        As given to :func:`emfast.evaluate`.

    Returns
    -------
    Errors
    """
    volumes = _with_errors(protocol, truth, labels, mask, spacing)
    return compare(
        volumes.truth,
        volumes.labels,
        spacing=volumes.spacing or (1.0,) * len(volumes.truth.shape),
        ignore=volumes.protocol.unseen,
        mask=volumes.mask,
        background=volumes.protocol.background,
        block=block,
        progress=progress,
    )


def error_map_by(
    protocol: str,
    truth: Any,
    labels: Any,
    errors: Errors,
    *,
    spacing: Sequence[float] | None = None,
    mask: Any = None,
    **options: Any,
) -> Any:
    """The classes of all voxels by what a protocol counts: :func:`emfast.metrics.error_map` with its mask.

    Parameters
    ----------
    protocol, truth, labels, spacing, mask
        As given to :func:`compare_by`.
    errors : Errors
        What that returned.
    **options
        As given to :func:`emfast.metrics.error_map`: ``shift``, ``out``, ``check``, ``block``, ``progress``.

    Returns
    -------
    array of uint8, or ``out``

    Examples
    --------
    >>> import numpy as np
    >>> from emfast import metrics
    >>> volumes = np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 1, 1, 2]])
    >>> errors = metrics.compare_by("cremi", *volumes, spacing=(9, 9))
    >>> metrics.error_map_by("cremi", *volumes, errors, spacing=(9, 9))
    array([[255, 255, 255, 255, 255, 255]], dtype=uint8)
    """
    volumes = _with_errors(protocol, truth, labels, mask, spacing)
    return error_map(volumes.truth, volumes.labels, errors, mask=volumes.mask, **options)


def _with_errors(protocol: str, truth: Any, labels: Any, mask: Any, spacing: Any) -> _Volumes:
    """The voxels that count, of which errors are looked for."""
    chosen = _protocol_of(protocol)
    if chosen.takes != "objects":
        raise ValueError(f"protocol must take objects to find errors of objects, got {protocol!r}")
    return _Volumes.of(truth, labels, mask, spacing, replace(chosen, prepare=None)).as_counted()


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
        found, shape = _blocks.same_shapes({"truth": truth, "labels": labels, "mask": mask})
        truth, labels, mask = (found.get(name) for name in ("truth", "labels", "mask"))
        if len(shape) not in (2, 3):
            raise ValueError(f"truth must be 2D or 3D, got {len(shape)}D of shape {shape}")
        if protocol.needs_spacing and spacing is None:
            raise ValueError(f"spacing must be given for the protocol {protocol.name}: nanometres per voxel, z, y, x")
        nm = None if spacing is None else spacing_of(spacing, len(shape))
        if mask is not None and isinstance(mask.dtype, np.dtype) and mask.dtype.kind not in "biu":
            raise TypeError(f"mask must be bool or integers, got {mask.dtype}")
        if protocol.takes == "probability":
            labels = _probability(labels)
        return _Volumes(protocol, truth, labels, mask, nm)

    def as_counted(self) -> _Volumes:
        """With the voxels that the protocol leaves out, and the truth that it counts."""
        if self.protocol.mask is None:
            return self
        truth = _whole(self.truth)
        counted = self.protocol.mask(truth, self.spacing or ())
        if self.protocol.prepare is not None:
            return replace(self, truth=self.protocol.prepare(truth, counted))
        return replace(self, mask=counted if self.mask is None else counted & (_whole(self.mask) != 0))

    def above(self, threshold: float, *, graded: bool) -> _Volumes:
        """With labels as a mask."""
        labels = _whole(self.labels)
        if graded and labels.dtype.kind != "f" and labels.dtype != np.uint8:
            raise TypeError(f"labels must be floats or uint8 where thresholds are given, got {labels.dtype}")
        return replace(self, labels=as_mask(labels, threshold, graded=graded))

    def table(self, block: Any, progress: Any) -> Contingency:
        return contingency(
            self.truth, self.labels, ignore=self.protocol.ignore, mask=self.mask, block=block, progress=progress
        )

    def sides(self, block: Any) -> tuple[int, ...]:
        """Of the blocks of a bootstrap."""
        shape = tuple(self.truth.shape)
        return _blocks.sides_of([max(1, -(-n // 8)) for n in shape] if block is None else block, shape, {})

    def tables(self, sides: tuple[int, ...], progress: Any) -> Iterator[Contingency]:
        """One for each block."""
        shape, done = tuple(self.truth.shape), 0
        for block in _blocks.blocks_of(shape, sides):
            truth, labels = np.asarray(self.truth[block.core]), np.asarray(self.labels[block.core])
            mask = None if self.mask is None else np.asarray(self.mask[block.core])
            yield contingency(truth, labels, ignore=self.protocol.ignore, mask=mask)
            done += truth.size
            if progress is not None:
                progress(done, math.prod(shape))

    def scores(self, thresholds: list[float] | None) -> dict[str, float]:
        """Those that no table gives."""
        assert self.protocol.of_volumes is not None
        if self.mask is not None:
            raise ValueError(f"mask must be left out for the protocol {self.protocol.name}, which scores whole volumes")
        numbers = tuple(thresholds or self.protocol.thresholds) or self.spacing or ()
        return self.protocol.of_volumes(_whole(self.truth), _whole(self.labels), numbers)


def _whole(volume: Any) -> np.ndarray:
    """What can perhaps only be sliced, as an array."""
    return np.asarray(volume[(slice(None),) * len(volume.shape)] if _blocks.is_lazy(volume) else volume)


def _probability(labels: Any) -> np.ndarray:
    values = _whole(labels)
    if values.dtype.kind not in "bf" and values.dtype != np.uint8:
        raise TypeError(f"labels must be a probability, in floats or uint8, for this protocol, got {values.dtype}")
    if values.dtype.kind == "f":
        as_mask(values, 0.5, graded=True)  # no NaN
    return values


def _protocol_of(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]


# ---- thresholds


def _listed(thresholds: Sequence[float]) -> list[float]:
    """Ascending."""
    values = sorted(float(t) for t in thresholds)
    if not values or not all(0 <= t <= 1 for t in values):
        raise ValueError(f"thresholds must be numbers from 0 to 1, got {thresholds!r}")
    return values


def _curve(volumes: _Volumes, values: list[float], block: Any, progress: Any) -> tuple[Table, float]:
    """The scores at each threshold, and the one with the largest IoU, the smallest of equals."""
    found = [classes.binary(volumes.above(t, graded=True).table(block, progress)).to_dict() for t in values]
    columns = {name: np.array([scores[name] for scores in found]) for name in found[0]}
    best = int(np.nan_to_num(columns["iou"], nan=-1.0).argmax())
    return Table({"threshold": np.array(values), **columns}), values[best]


# ---- confidence

_UNBOUNDED = ("voi_split", "voi_merge", "voi", "cremi_score")


def _intervals(
    protocol: Protocol, whole: dict[str, float], parts: list[Contingency], rounds: int, progress: Any
) -> dict[str, tuple[float, float]]:
    """Each score with the spread it has over tables of blocks drawn with replacement, the same draws every time."""
    assert protocol.of_table is not None
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in whole if not protocol.counts_objects(name)}
    for done in range(1, rounds + 1):
        drawn = np.bincount(rng.integers(0, len(parts), len(parts)), minlength=len(parts))
        table = Contingency.total([_times(part, int(n)) for part, n in zip(parts, drawn, strict=True) if n])
        for name, value in protocol.of_table(table).items():
            if name in found and not math.isnan(value):
                found[name].append(value)
        if progress is not None:
            progress(done, rounds)
    return {name: _between(name, whole[name], values) for name, values in found.items() if values}


def _between(name: str, score: float, values: list[float]) -> tuple[float, float]:
    """What lies so near to a score, within its range: a share is at most one, bits have no end."""
    half, most = 1.96 * float(np.std(values)), math.inf if name in _UNBOUNDED else 1.0
    return min(score, max(0.0, score - half)), max(score, min(most, score + half))


def _times(table: Contingency, n: int) -> Contingency:
    truth, labels, counts = table.pairs
    return table if n == 1 else Contingency.from_pairs(truth, labels, counts * n)


# ---- the card


def _about(volumes: _Volumes, checksums: bool) -> dict[str, Any]:
    from .. import __version__

    facts: dict[str, Any] = {"emfast": __version__, "shape": list(map(int, volumes.truth.shape))}
    facts |= {"truth_dtype": str(volumes.truth.dtype), "labels_dtype": str(volumes.labels.dtype)}
    facts["mask"] = volumes.mask is not None
    if volumes.spacing:
        facts["spacing_nm"] = list(volumes.spacing)
    if checksums:
        for name in ("truth", "labels", "mask"):
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


def _columns(table: Table) -> dict[str, list[float | str]]:
    return {name: [_plain(v) for v in table[name].tolist()] for name in table.columns}


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
