"""From affinities to segments, whatever their size: the whole way in one call, from the settings of a file.

What lies between, fragments, the graphs of blocks, the tree of merges, is kept in a folder beside the result. A call
that was cut short goes on where it stood, and one with higher thresholds begins with the tree.
"""

from __future__ import annotations

import itertools
import math
import os
import platform
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import __version__, _settings, blockwise
from ._engine.identity import check_apart, parted
from ._engine.journal import about_of
from ._engine.mended import Notes, mended
from ._engine.plan import Plan, bytes_of, in_words
from ._locks import alone
from ._options import integer_of, number_of
from ._progress import span
from .blocks import plan_blocks, verified
from .blockwise._run import (
    Run,
    beside,
    claim,
    clear,
    drop,
    is_kept,
    is_local,
    is_place,
    place_words,
    read_stamp,
    write_stamp,
)
from .blockwise._shelf import Shelf
from .blockwise.fragments import Looked, cost_of
from .fragments import watershed as watershed_in_memory
from .graphs import region_graph
from .trees import MergeTree, agglomerate, is_reducible, needs_histograms
from .volumes import open_volume

__all__ = ["Agglomeration", "Recipe", "SegmentPlan", "Watershed", "plan_segment", "read_recipe", "segment"]

_TABLES = 120  # bytes for each fragment: parts of blocks, graph, tree
_TRIAL = 96  # voxels along each axis of what a plan tries
_OURS = re.compile(r"fragments|fragments\.zarr|lost")  # in a folder, beside what is made of fragments
_OF_FRAGMENTS = re.compile(r"fragments\.json|graphs|tree-.*\.npz|segments-.*(?<!\.yaml)")


@dataclass(frozen=True)
class Watershed:
    """How fragments are made, as :func:`emfast.watershed` takes it."""

    low: float = 0.1
    high: float = 0.98
    per_section: bool = False
    quantile: bool = False
    merge_size: int = 0
    merge_threshold: float = 0.0
    dust: int = 0

    def __post_init__(self) -> None:
        watershed_in_memory(np.zeros((3, 1, 1, 1), "u1"), **_settings.to_dict(self))


@dataclass(frozen=True)
class Agglomeration:
    """How fragments are merged, as :func:`emfast.agglomerate` takes it.

    ``until`` is the lowest threshold that the tree serves; by default the lowest of the recipe's. What cannot reach it
    is out of the way early, so a tree down to 0 takes several times as long, and as much memory, as one to 0.5.
    """

    score: str = "mean"
    until: float | None = None
    big_size: int | None = None
    big_score: float = 1.0

    def __post_init__(self) -> None:
        if not is_reducible(self.score):
            raise ValueError(
                f"score must be mean, min, max, median or a quantile such as quantile:0.75, got {self.score!r}"
            )
        if self.until is not None:
            number_of(self.until, "until", 0, 1)
        number_of(self.big_score, "big_score")
        if self.big_size is not None:
            integer_of(self.big_size, "big_size", 0)


@dataclass(frozen=True)
class Recipe:
    """All settings of :func:`segment`; as YAML too.

    >>> import emfast
    >>> print(emfast.pipeline.Recipe(thresholds=(0.5, 0.7)).to_yaml(), end="")
    thresholds: [0.5, 0.7]
    watershed: {low: 0.1, high: 0.98, per_section: false, quantile: false, merge_size: 0,
      merge_threshold: 0.0, dust: 0}
    agglomeration: {score: mean, until: null, big_size: null, big_score: 1.0}
    """

    thresholds: tuple[float, ...] = (0.5,)
    watershed: Watershed = field(default_factory=Watershed)
    agglomeration: Agglomeration = field(default_factory=Agglomeration)

    def __post_init__(self) -> None:
        if not self.thresholds:
            raise ValueError("thresholds must be at least one, got none")
        for threshold in self.thresholds:
            number_of(threshold, "thresholds", 0, 1)
        if min(self.thresholds) < self.until:
            raise ValueError(
                f"thresholds must not be below agglomeration.until ({self.until}), got {min(self.thresholds)}"
            )
        if len(set(self.thresholds)) < len(self.thresholds):
            raise ValueError(f"thresholds must differ, got {list(self.thresholds)}")

    @property
    def until(self) -> float:
        """The lowest threshold that the tree serves."""
        until = self.agglomeration.until
        return min(self.thresholds) if until is None else until

    @property
    def rules(self) -> dict[str, Any]:
        """Those of :func:`emfast.agglomerate`."""
        return _settings.to_dict(self.agglomeration) | {"until": self.until}

    def to_yaml(self) -> str:
        return _settings.dumps(self)


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """A recipe from a YAML file. What it leaves out is by default; a name it should not hold is refused."""
    return _settings.read(Recipe, path)


def segment(
    source: Any,
    target: Any = None,
    *,
    model: Any = None,
    decoding: Mapping[str, Any] | None = None,
    thresholds: float | Sequence[float] | None = None,
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    mask: Any = None,
    block: Any = "auto",
    work: Any = None,
    memory: str | float | None = None,
    workers: int | None = None,
    client: Any = None,
    retries: int = 2,
    on_corrupt: str = "error",
    order: Any = None,
    progress: Any = None,
) -> Any:
    """Segments of a volume of affinities, in memory or larger: watershed, region graph, agglomeration, cuts.

    The result is that of :func:`emfast.segment_affinities` on the whole volume, to the bit.

    Parameters
    ----------
    source : array, Volume or place, shape (3, z, y, x) or (2, y, x), of uint8, float16 or float32
        Nearest affinities.
    target : array, Volume, place or a list of these, optional
        Written: one for each threshold. For several thresholds a single place of a Zarr or HDF5 file serves too; the
        volumes are then named after the thresholds, as in ``segments.zarr/0.5``. New arrays if there is none.
    model : Model or path of a run, optional
        Then the source is an image, which is predicted first; see :func:`emfast.inference.segment_image`. Watershed
        and agglomeration are as the model's recipe has them.
    decoding : mapping, optional
        Parameters of the model's decoder in the place of its defaults.
    thresholds : float or sequence of float, optional
        Segments are merged while their score is this or more; by default those of the recipe.
    recipe : Recipe, mapping or path of a YAML file, optional
    mask : bool array, Volume or place, optional
        Voxels outside are background.
    block : sequence of int or "auto"
    work : path, optional
        A folder for what lies between, kept. By default ``<target>.work``, or memory where the target is no place. A
        call with the same source and watershed finds in it what is done already: the tree, if it goes down to the
        threshold (see :class:`Agglomeration`), else the graphs of blocks.
    memory, workers, client, retries, order, progress
        As of :func:`emfast.map_blocks`.
    on_corrupt : "error" or "skip"
        What a damaged piece of the affinities or the mask is: an error; or zeros, told by a warning and in what lies
        beside the target. What emfast wrote itself is never skipped.

    Returns
    -------
    segments : what the target is opened as; a list of them for several thresholds
        Numbered by first appearance. Beside a place lies ``<place>.yaml``, the recipe in full.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> along_x = np.array([[[0, 0.9, 0.2, 0.8, 0.15]]], "float32")
    >>> affinities = np.concatenate([np.zeros_like(along_x), along_x])
    >>> emfast.segment(affinities, thresholds=0.5)
    array([[1, 1, 2, 2, 2]], dtype=uint32)
    """
    if model is not None:
        if recipe is not None or mask is not None or order is not None:
            raise ValueError("recipe, mask and order must be None where there is a model")
        from .inference import segment_image

        given: dict[str, Any] = {"memory": memory, "workers": workers, "client": client, "progress": progress}
        decoding = {**(decoding or {}), **({} if thresholds is None else {"threshold": thresholds})}
        given |= {"retries": retries, "on_corrupt": on_corrupt, "work": work, "block": block, "decoding": decoding}
        return segment_image(model, source, target, **given)
    if decoding is not None:
        raise ValueError("decoding must be None where there is no model, whose decoder it is for")
    settings = _recipe(recipe, thresholds)
    engine = {
        "memory": memory,
        "workers": workers,
        "client": client,
        "retries": retries,
        "on_corrupt": on_corrupt,
        "order": order,
        "progress": progress,
    }
    targets = _targets(target, settings.thresholds)
    read = {name: volume for name, volume in (("source", source), ("mask", mask)) if volume is not None}
    for each in targets:
        if each is not None:
            check_apart(each, "target", read)
    if memory is not None:
        _warn_of_tables(source, settings, block, engine)
    folder = _folder(work, targets)
    with ExitStack() as stack:
        if folder is not None:
            claim(folder, "emfast.segment")
            stack.enter_context(alone(os.path.join(folder, ".lock"), f"work {folder}"))
        steps = _Steps(source, mask, settings, block, folder, engine)
        fragments = steps.fragments()
        tree = steps.tree(fragments)
        found = [
            steps.segments(fragments, tree, t, place) for t, place in zip(settings.thresholds, targets, strict=True)
        ]
        if lost := steps.notes.all():
            warnings.warn(Notes.words(lost), stacklevel=2)
    return found if len(found) > 1 else found[0]


def _warn_of_tables(source: Any, recipe: Recipe, block: Any, engine: dict[str, Any]) -> None:
    """The tables of all fragments take memory that no choice of blocks makes less."""
    options = {name: engine[name] for name in ("memory", "workers", "client", "on_corrupt")}
    plan = plan_segment(source, recipe=recipe, block=block, **options)
    if plan.bytes > bytes_of(options["memory"]):
        warnings.warn(
            f"memory {options['memory']} may not do: beside blocks of {in_words(plan.plan.bytes)} there are tables of "
            f"about {plan.fragments:,} fragments, {in_words(plan.tables)}",
            stacklevel=3,
        )


def _recipe(recipe: Any, thresholds: Any) -> Recipe:
    if isinstance(recipe, (str, os.PathLike)):
        recipe = read_recipe(recipe)
    elif isinstance(recipe, Mapping):
        recipe = _settings.from_dict(Recipe, recipe)
    elif recipe is None:
        recipe = Recipe()
    elif not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, a mapping or the path of a YAML file, got {recipe!r}")
    if thresholds is None:
        return recipe
    given = tuple(thresholds) if np.ndim(thresholds) else (thresholds,)
    return replace(recipe, thresholds=tuple(number_of(t, "thresholds", 0, 1) for t in given))


def _targets(target: Any, thresholds: Sequence[float]) -> list[Any]:
    """One for each threshold."""
    if isinstance(target, (list, tuple)):
        if len(target) != len(thresholds):
            raise ValueError(f"target must be one for each threshold ({len(thresholds)}), got {len(target)}")
        for one, other in itertools.combinations([each for each in target if each is not None], 2):
            check_apart(one, "target", {"another target": other})
        return list(target)
    if target is None:
        return [None] * len(thresholds)
    if len(thresholds) == 1:
        return [os.fspath(target) if is_place(target) else target]
    if not is_place(target) or not any(kind in os.fspath(target) for kind in (".zarr", ".h5", ".hdf5", ".n5")):
        raise ValueError(
            f"target must be one for each threshold ({len(thresholds)}), or a Zarr or HDF5 file, got {target!r}"
        )
    return [f"{os.fspath(target).rstrip('/')}/{_told(t)}" for t in thresholds]


def _told(threshold: float) -> str:
    """Short, and different for different ones."""
    short = f"{threshold:g}"
    return short if float(short) == threshold else repr(float(threshold))


def _folder(work: Any, targets: Sequence[Any]) -> str | None:
    if work is not None:
        return os.fspath(work)
    if not is_place(targets[0]):
        return None
    files = {parted(os.fspath(target))[0] for target in targets if is_place(target)}
    return beside(files.pop() if len(files) == 1 else os.fspath(targets[0]), "work")


def _is_ours(name: str) -> bool:
    """Whether a file or folder of that name holds what was found of a source."""
    return bool(_OURS.fullmatch(name) or _OF_FRAGMENTS.fullmatch(name))


class _Steps:
    """The steps of one call, each done only where its result is not there yet."""

    def __init__(
        self, source: Any, mask: Any, recipe: Recipe, block: Any, folder: str | None, engine: dict[str, Any]
    ) -> None:
        self.source, self.mask, self.recipe, self.block = source, mask, recipe, block
        self.folder = folder
        self.notes = Notes(None if folder is None else self._path("lost"))  # those of calls before count too
        skip = engine["on_corrupt"] == "skip"
        self.engine = {**engine, "on_corrupt": self.notes} if skip else engine

    def fragments(self) -> Any:
        """Those of the watershed: an array, or a Volume in the folder."""
        options = _settings.to_dict(self.recipe.watershed)
        shared: dict[str, Any] = {"mask": self.mask, "block": self.block, **self.engine}
        if self.folder is None:
            return blockwise.watershed(self.source, **options, **shared)
        wanted = {
            "emfast": __version__,
            "source": place_words(self.source),
            "mask": place_words(self.mask),
            "watershed": options,
        }
        self._stamp(wanted)
        done, place, inner = self._path("fragments.json"), self._path("fragments.zarr"), self._path("fragments")
        journal = os.path.join(inner, "fragments.journal")
        if read_stamp(done) == wanted and is_kept(place) and about_of(journal) is not None:
            fragments = open_volume(place)
        else:
            drop(self.folder, filter(_OF_FRAGMENTS.fullmatch, os.listdir(self.folder)))
            if not is_kept(place):  # what is left of one would be in the way
                drop(self.folder, ("fragments.zarr",))
            fragments = blockwise.watershed(self.source, place, work=inner, **options, **shared)
            write_stamp(done, wanted)
        clear(inner, but=("fragments.journal", "fragments.journal.values"))
        return verified(fragments, journal=journal)

    def _stamp(self, wanted: dict[str, Any]) -> None:
        """Note in the folder, before anything else, of which source and watershed it is. One of others is refused, and
        one that does not say of which: trees do not tell it."""
        path = self._path("source.json")
        found = read_stamp(path)
        if found is None:
            kept = [name for name in sorted(os.listdir(self.folder)) if _is_ours(name)]
            if kept:
                raise ValueError(
                    f"work must be a folder of this source and watershed, got {self.folder}, which holds {kept[0]} but "
                    "no source.json that can be read and says of which it is: choose another or remove it"
                )
            write_stamp(path, wanted)
            return
        for name in wanted:
            if found.get(name) != wanted[name]:
                raise ValueError(
                    f"work must be a folder of this source and watershed, got {self.folder}, where {name} was "
                    f"{found.get(name)} and not {wanted[name]}: choose another or remove it"
                )

    def tree(self, fragments: Any) -> MergeTree:
        """Of all merges down to the recipe's ``until``, or further."""
        shared: dict[str, Any] = {"block": self._sides(fragments), **self.recipe.rules, **self.engine}
        if self.folder is None:
            tree: MergeTree = blockwise.agglomerate(self.source, fragments, **shared)
            return tree
        if found := self._tree_found():
            return Shelf(self.folder).tree(found)
        tree = blockwise.agglomerate(self.source, fragments, work=self._path("graphs"), **shared)
        Shelf(self.folder).keep(f"tree-{self._name(self.recipe.until)}", tree)
        return tree

    def _tree_found(self) -> str | None:
        """The name of the smallest tree in the folder that goes down to ``until``."""
        head, _, tail = f"tree-{self._name('*')}.npz".partition("*")
        serving = {}
        for name in os.listdir(self.folder):
            if name.startswith(head) and name.endswith(tail):
                with suppress(ValueError):
                    serving[float(name[len(head) : len(name) - len(tail)])] = name.removesuffix(".npz")
        fit = [until for until in serving if until <= self.recipe.until]
        return serving[max(fit)] if fit else None

    def segments(self, fragments: Any, tree: MergeTree, threshold: float, target: Any) -> Any:
        """The cut of the tree at a threshold, at its target."""
        name = f"segments-{self._name(threshold)}"
        with Run(
            {"fragments": fragments},
            target,
            shape=lambda of: of["fragments"].shape,
            cost=4.0 * fragments.dtype.itemsize,
            block=self._sides(fragments),
            work=None if self.folder is None else self._path(name),
            engine=self.engine,
        ) as run:
            run.shelf.put_column("table", segments_of(tree, threshold))
            out = run.target("segments", fragments.dtype, like=fragments)
            run.map("segments", Looked(run.shelf, "table"), run.sources["fragments"], out)
            out = run.result(out)
            self._tell(target, threshold)
            return out

    def _tell(self, target: Any, threshold: float) -> None:
        """The recipe and versions, beside a target on this machine, else in the folder."""
        if self.folder is None:
            return
        path = beside(target, "yaml") if is_local(target) else self._path(f"segments-{self._name(threshold)}.yaml")
        about = f"emfast {__version__}, Python {platform.python_version()}, numpy {np.__version__}"
        lines = [about, f"segments at {_told(threshold)} of {place_words(self.source)[0]}"]
        lines += [f"damaged, taken for zeros: {lost}" for lost in self.notes.all()]
        _settings.write(replace(self.recipe, thresholds=(threshold,)), path, comment="\n".join(lines))

    def _sides(self, fragments: Any) -> Any:
        """Of the blocks: those that the fragments were written by."""
        return self.block if self.folder is None else getattr(fragments, "shards", None) or self.block

    def _name(self, threshold: float | str) -> str:
        """Of a tree that goes down to a threshold, or of segments at one."""
        rules = self.recipe.agglomeration
        others = [] if rules.big_size is None else [f"{rules.big_size}", f"{rules.big_score!r}"]
        named = threshold if isinstance(threshold, str) else _told(threshold)
        return "-".join([rules.score.replace(":", ""), *others, named])

    def _path(self, name: str) -> str:
        assert self.folder is not None
        return os.path.join(self.folder, name)


def segments_of(tree: MergeTree, threshold: float) -> np.ndarray:
    """The segment of each fragment at a threshold, indexed by fragment; numbered by first appearance, 0 for 0."""
    old, names = tree.cut(threshold)
    table = np.zeros(int(old.max(initial=0)) + 1, old.dtype)
    _, ranks = np.unique(names, return_inverse=True)  # names are smallest fragments: their order is appearance
    table[old] = ranks + 1
    return table


# ---- plans


@dataclass(frozen=True)
class SegmentPlan:
    """What :func:`segment` will do.

    Attributes
    ----------
    shape : tuple of int
    plan : Plan
        The blocks, how many at once, and their memory.
    fragments : int
        About how many there will be, from a piece in the middle.
    tables : int
        Bytes of tables of all fragments, beside the blocks.
    disk : int
        Bytes of the volumes that are written, before they are packed.
    seconds : float
        From that piece, without what reading and writing take.
    """

    shape: tuple[int, ...]
    plan: Plan
    fragments: int
    tables: int
    disk: int
    seconds: float

    @property
    def bytes(self) -> int:
        """The most memory that is held at once."""
        return self.plan.bytes + self.tables

    def __str__(self) -> str:
        sides = " by ".join(map(str, self.shape))
        tables = f"{in_words(self.tables)} for about {self.fragments:,} fragments"
        return "\n".join(
            [
                f"volume   {sides}, {math.prod(self.shape) / 1e6:,.1f} Mvoxels",
                f"blocks   {self.plan}",
                f"tables   {tables}, {in_words(self.bytes)} in all",
                f"disk     {in_words(self.disk)} at most, before packing",
                f"time     about {span(self.seconds)}, and reading and writing",
            ]
        )


def plan_segment(
    source: Any,
    *,
    thresholds: float | Sequence[float] | None = None,
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    block: Any = "auto",
    memory: str | float | None = None,
    workers: int | None = None,
    client: Any = None,
    on_corrupt: str = "error",
) -> SegmentPlan:
    """What :func:`segment` would do with the same arguments; a piece from the middle is tried.

    Examples
    --------
    >>> import emfast
    >>> affinities = emfast.phantom.make((32, 64, 64), seed=1).affinities
    >>> plan = emfast.pipeline.plan_segment(affinities, block=32, workers=2)
    >>> plan.plan.blocks, plan.shape
    (4, (32, 64, 64))
    """
    from contextlib import nullcontext

    settings = _recipe(recipe, thresholds)
    opened: Any = open_volume(source) if is_place(source) else nullcontext(source)
    with opened as volume:
        shape = tuple(int(n) for n in volume.shape[1:])
        plan = plan_blocks(
            volume,
            shape=shape,
            block=block,
            halo=1,
            memory=memory,
            cost=cost_of({"affinities": volume}),
            workers=workers,
            client=client,
        )
        middle = tuple(slice((n - min(n, _TRIAL)) // 2, (n + min(n, _TRIAL)) // 2) for n in shape)
        window = (slice(None), *middle)
        piece = np.ascontiguousarray(mended(volume, Notes(None) if on_corrupt == "skip" else None)[window])
    voxels = math.prod(shape)
    share = voxels / max(1, math.prod(piece.shape[1:]))
    found, seconds = _trial(piece, settings)
    wide = 4 if voxels <= 2**32 - 2 else 8
    volumes = len(settings.thresholds) + 1 + (settings.watershed.merge_size > 0)
    return SegmentPlan(
        shape=shape,
        plan=plan,
        fragments=round(found * share),
        tables=round(_TABLES * found * share),
        disk=voxels * (4 + wide * volumes),
        seconds=seconds * share,
    )


def _trial(piece: np.ndarray, recipe: Recipe) -> tuple[int, float]:
    """The fragments of a piece, and the seconds it takes."""
    start = time.perf_counter()
    fragments, count = watershed_in_memory(piece, return_count=True, **_settings.to_dict(recipe.watershed))
    rules = recipe.rules
    graph = region_graph(piece, fragments, histogram=needs_histograms(rules["score"]))
    tree = agglomerate(graph, **rules)
    for threshold in recipe.thresholds:
        tree.relabel(fragments, threshold)
    return count, time.perf_counter() - start
