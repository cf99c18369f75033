"""Reading tables, looking up columns, and digests that depend on values only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import table_files
from mtgen.errors import TableError
from mtgen.table import check_table, column, complete_column, digest_values, first_rows, integer_values

TABLE = pd.DataFrame({"id": [3, 1], "name": ["a", "b"]})


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq", ".CSV"])
def test_a_table_comes_back_as_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    if ending in (".parquet", ".pq"):
        pytest.importorskip("pyarrow")
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if "tsv" in ending else ",")
    pd.testing.assert_frame_equal(mtgen.read_table(path), TABLE)


def test_options_are_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("id\n007\n")
    assert mtgen.read_table(path, dtype={"id": str})["id"].tolist() == ["007"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no such file.*\[path .*absent\.csv\]"):
        mtgen.read_table(tmp_path / "absent.csv")


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        mtgen.read_table(tmp_path)


def test_an_unknown_ending_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.xls"
    path.write_bytes(b"")
    with pytest.raises(TableError, match=r"ending '\.xls'; use \.csv, \.tsv or \.parquet"):
        mtgen.read_table(path)


def test_a_broken_file_is_named_with_what_pandas_says(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("")
    with pytest.raises(TableError, match=r"could not read the table: .*\[path .*table\.csv\]"):
        mtgen.read_table(path)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(TableError, match=r"DataFrame, received str.*read_table"):
        check_table("table.csv")
    with pytest.raises(TableError, match="no rows"):
        check_table(TABLE.iloc[:0])
    with pytest.raises(TableError, match=r"more than once: \['a'\]"):
        check_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_near_column_names_are_offered() -> None:
    with pytest.raises(TableError, match=r"targets: the table has no column 'nme'. Did you mean 'name'"):
        column(TABLE, "nme", "targets")
    with pytest.raises(TableError, match=r"The columns are \['id', 'name'\]"):
        column(TABLE, "zzz", "targets")


def test_first_rows_says_how_many_and_which() -> None:
    assert first_rows(np.array([False, True])) == "1 row (1)"
    assert first_rows(np.ones(7, bool)) == "7 rows (0, 1, 2, 3, 4, ...)"


def test_floats_are_no_integers_even_when_whole() -> None:
    with pytest.raises(TableError, match=r"must hold integers, received dtype float64.*astype\('int64'\)"):
        integer_values(pd.Series([1.0, 2.0], name="x"), "use")


def test_nullable_integers_are_integers() -> None:
    values = integer_values(pd.Series([1, 2], dtype="Int64", name="x"), "use")
    assert values.dtype == np.int64
    with pytest.raises(TableError, match=r"no value in 1 row \(1\).*\[row 1\]"):
        integer_values(pd.Series([1, None], dtype="Int64", name="x"), "use")


def test_digests_depend_on_values_and_their_order() -> None:
    def digest(*values: object) -> str:
        return digest_values(pd.Series(list(values)))

    assert digest(1, 2) == digest(1, 2)
    assert len({digest(1, 2), digest(2, 1), digest(1, 2, 3), digest(1.5, 2), digest("1", "2")}) == 5
    assert digest("ab", "c") != digest("a", "bc")
    many = [f"text {number}" for number in range(70_000)]
    assert digest(*many) == digest(*many)
    assert digest(*many) != digest(*many[:-1], "other")


def test_digests_of_text_do_not_hang_on_the_dtype_pandas_chose() -> None:
    assert digest_values(pd.Series(["a", "b"], dtype=object)) == digest_values(pd.Series(["a", "b"], dtype="string"))


def test_digests_do_not_hang_on_byte_order() -> None:
    values = np.array([1, 2, 3])
    assert digest_values(pd.Index(values)) == digest_values(pd.Series(values.astype(values.dtype.newbyteorder("<"))))


def test_a_column_at_some_rows_is_complete_there() -> None:
    table = pd.DataFrame({"a": [1.0, None, 3.0]})
    assert complete_column(table, "a", "by", np.array([2, 0])).tolist() == [3, 1]
    with pytest.raises(TableError, match=r"by: column 'a' has no value in 1 row \(1\)"):
        complete_column(table, "a", "by", np.array([2, 1]))


def test_the_table_reads_no_file() -> None:
    """It named os and pathlib for `read_table`, which lives in a module of its own."""
    code = "import sys\nimport mtgen.table\nassert 'mtgen.table_files' not in sys.modules\n"
    code += "assert not {'os', 'pathlib'} & set(vars(mtgen.table)), vars(mtgen.table)\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert mtgen.read_table is table_files.read_table
