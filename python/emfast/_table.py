"""A small table: named columns of equal length, a row per key. NumPy alone is needed."""

from __future__ import annotations

import csv
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_AXES = {2: ("y", "x"), 3: ("z", "y", "x")}


class Table:
    """Columns as arrays, a row per key.

    The first ``keys`` columns are the key: rows are in ascending order of it, and no key comes twice.

    - ``table["voxels"]`` or ``table.voxels`` is a column: an array of shape (n,), (n, d) or (n, d, d),
    - ``table[17]`` (``table[3, 17]`` where the key has two parts) is a row: a dict,
    - ``len(table)``, ``17 in table``, iteration over keys,
    - ``table.select(mask_or_rows)`` is a shorter table.

    Examples
    --------
    >>> import numpy as np
    >>> table = Table({"label": np.array([3, 8]), "voxels": np.array([10, 20])})
    >>> len(table), int(table[8]["voxels"]), 5 in table
    (2, 20, False)
    """

    def __init__(self, columns: Mapping[str, np.ndarray], *, keys: int = 1) -> None:
        self._columns = dict(columns)
        self._keys = keys
        lengths = {name: len(values) for name, values in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must be of one length, got {lengths}")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._columns)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the columns that make the key."""
        return self.columns[: self._keys]

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __iter__(self) -> Iterator[Any]:
        parts = [self._columns[name].tolist() for name in self.keys]
        return iter(parts[0]) if self._keys == 1 else zip(*parts, strict=True)

    def __contains__(self, key: object) -> bool:
        try:
            self.row_of(key)
        except (KeyError, TypeError):
            return False
        return True

    def row_of(self, key: Any) -> int:
        """The number of the row with this key; KeyError where there is none."""
        parts = (key,) if self._keys == 1 else key
        if not isinstance(parts, tuple) or len(parts) != self._keys:
            raise KeyError(f"a key must be {self._keys} values ({', '.join(self.keys)}), got {key!r}")
        low, high = 0, len(self)
        for name, part in zip(self.keys, parts, strict=True):
            if not isinstance(part, (int, np.integer)):
                raise TypeError(f"{name} must be an integer, got {part!r}")
            column = self._columns[name][low:high]
            limits = None if column.dtype == object else np.iinfo(column.dtype)
            if limits is not None and not limits.min <= part <= limits.max:
                raise KeyError(key)
            value = column.dtype.type(part)
            low, high = low + int(column.searchsorted(value)), low + int(column.searchsorted(value, "right"))
        if low == high:
            raise KeyError(key)
        return low

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            try:
                return self._columns[key]
            except KeyError:
                raise KeyError(f"no column {key!r}; there are {', '.join(self.columns)}") from None
        row = self.row_of(key)
        return {name: values[row] for name, values in self._columns.items()}

    def __getattr__(self, name: str) -> np.ndarray:
        columns = self.__dict__.get("_columns", {})
        if name in columns:
            column: np.ndarray = columns[name]
            return column
        raise AttributeError(f"no column {name!r}; there are {', '.join(columns)}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.columns})

    def __eq__(self, other: object) -> bool:
        """Equal columns: names, order, dtypes and values (NaN equals NaN)."""
        if not isinstance(other, Table):
            return NotImplemented
        return self.columns == other.columns and all(
            a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            for a, b in zip(self._columns.values(), other._columns.values(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def select(self, rows: Any) -> Table:
        """The rows of a mask or of ascending row numbers, as a table of the same kind."""
        return type(self)({name: values[rows] for name, values in self._columns.items()}, keys=self._keys)

    def flat(self) -> dict[str, np.ndarray]:
        """Columns of one value each: a column with a value per axis becomes name_z, name_y, name_x."""
        out: dict[str, np.ndarray] = {}
        for name, values in self._columns.items():
            for part in np.ndindex(values.shape[1:]):
                names = [_AXES.get(values.shape[1], range(10))[p] for p in part]
                where: tuple[Any, ...] = (slice(None), *part)
                out["_".join([name, "".join(map(str, names))]) if part else name] = values[where]
        return out

    def to_records(self) -> np.ndarray:
        """A structured array of NumPy, a field for each column, with a value per axis where the column has that."""
        columns = self._columns.items()
        out = np.empty(len(self), [(name, values.dtype, values.shape[1:]) for name, values in columns])
        for name, values in columns:
            out[name] = values
        return out

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a header and a line per row; floats so that they read back equal."""
        flat = self.flat()
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(flat)
            writer.writerows(zip(*(values.tolist() for values in flat.values()), strict=True))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet file with the columns of :meth:`flat`."""
        try:
            arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
        except ImportError as error:
            raise ImportError("Table.to_parquet needs pyarrow, which is not installed") from error
        columns = {name: arrow.array(np.ascontiguousarray(values)) for name, values in self.flat().items()}
        parquet.write_table(arrow.table(columns), path)

    def to_pandas(self) -> Any:
        """A pandas DataFrame with the key as index."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise ImportError("Table.to_pandas needs pandas, which is not installed") from error
        return pandas.DataFrame(self.flat()).set_index(list(self.keys))

    def __repr__(self) -> str:
        flat = self.flat()
        if not flat:
            return f"{type(self).__name__}: no columns"
        shown = list(range(len(self))) if len(self) <= 12 else [*range(6), -1, *range(len(self) - 5, len(self))]
        texts = [[name, *("…" if row < 0 else _text(values[row]) for row in shown)] for name, values in flat.items()]
        return _lay_out(f"{type(self).__name__} of {len(self)} rows", texts)


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


def _lay_out(title: str, columns: Sequence[Sequence[str]], width: int = 110) -> str:
    """Columns side by side, right-aligned; those that do not fit are counted at the end of the title."""
    used = 0
    kept: list[list[str]] = []
    for column in columns:
        size = max(map(len, column))
        if kept and used + size + 2 > width:
            break
        used += size + 2
        kept.append([text.rjust(size) for text in column])
    left = len(columns) - len(kept)
    return "\n".join([title + (f", {left} more columns" if left else ""), *map("  ".join, zip(*kept, strict=True))])


__all__ = ["Table"]
