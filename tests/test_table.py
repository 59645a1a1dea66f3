import csv

import numpy as np
import pytest

import emfast
from emfast._table import Table


def pairs():
    return Table(
        {
            "a": np.array([1, 1, 3], "u8"),
            "b": np.array([2, 2**64 - 1, 4], "u8"),
            "area": np.array([0.1, np.nan, 3.0]),
            "where": np.arange(9).reshape(3, 3),
        },
        keys=2,
    )


def test_rows_and_columns():
    table = pairs()
    assert len(table) == 3
    assert table.columns == ("a", "b", "area", "where")
    assert table.keys == ("a", "b")
    assert table["area"] is table.area
    assert list(table) == [(1, 2), (1, 2**64 - 1), (3, 4)]
    assert table[1, 2**64 - 1]["where"].tolist() == [3, 4, 5]
    assert (3, 4) in table
    assert (3, 5) not in table
    assert (-1, 2) not in table
    assert 3 not in table
    assert "area" in dir(table)


def test_missing_keys_and_columns_are_named():
    table = pairs()
    with pytest.raises(KeyError, match="no column 'volume'; there are a, b, area, where"):
        table["volume"]
    with pytest.raises(AttributeError, match="no column 'volume'"):
        _ = table.volume
    with pytest.raises(KeyError, match=r"\(2, 2\)"):
        table[2, 2]
    with pytest.raises(KeyError, match=r"a key must be 2 values \(a, b\), got 3"):
        table[3]
    with pytest.raises(TypeError, match=r"b must be an integer, got 1\.5"):
        table[1, 1.5]
    with pytest.raises(ValueError, match="columns must be of one length"):
        Table({"a": np.zeros(2), "b": np.zeros(3)})


def test_select_keeps_kind_and_key():
    table = pairs().select(pairs().area > 1)
    assert list(table) == [(3, 4)]
    statistics = emfast.statistics(np.array([[1, 2], [2, 2]]))
    assert statistics.select(statistics.voxels > 1).slices() == [(slice(0, 2), slice(0, 2))]


def test_equality_counts_nan_as_equal():
    assert pairs() == pairs()
    assert pairs() != pairs().select([0, 1])
    assert pairs() != 3


def test_csv_reads_back(tmp_path):
    table = pairs()
    table.to_csv(tmp_path / "pairs.csv")
    with open(tmp_path / "pairs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["a", "b", "area", "where_z", "where_y", "where_x"]
    assert [int(row["b"]) for row in rows] == table.b.tolist()
    assert float(rows[0]["area"]) == 0.1
    assert [int(row["where_x"]) for row in rows] == [2, 5, 8]


def test_structured_arrays_have_the_columns():
    table = pairs()
    records = table.to_records()
    assert records.dtype.names == table.columns and len(records) == len(table)
    for name in table.columns:
        assert records[name].dtype == table[name].dtype
        np.testing.assert_array_equal(records[name], table[name])  # NaN is where it was
    assert records[1]["where"].tolist() == table.where[1].tolist()
    assert len(Table({}).to_records()) == 0


def test_pandas_when_it_is_there():
    pandas = pytest.importorskip("pandas")
    frame = pairs().to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc[(3, 4), "area"] == 3.0


def test_text_shows_first_and_last_rows():
    text = repr(emfast.statistics(np.arange(1, 101).reshape(10, 10)))
    lines = text.splitlines()
    assert lines[0].startswith("Statistics of 100 rows")
    assert "…" in text
    assert lines[2].split()[0] == "1"
    assert lines[-1].split()[0] == "100"
    assert max(map(len, lines)) <= 110
    assert repr(Table({})) == "Table: no columns"
