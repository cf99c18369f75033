"""`mtgen sample` as a user types it: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import mtgen
from mtgen.cli import app

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "data_samples" / "digits" / "table.csv"


def run(*arguments: str | Path | int, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["sample", *(str(argument) for argument in arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def table_of(path: Path, **columns: list[object]) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    return table_of(tmp_path / "letters.csv", label=list("aaaaaaaabbbc"), age=list(range(12)), weight=[1] * 11 + [0])


def lines_of(result: Result, head: str) -> dict[str, list[str]]:
    """Lines of the table of classes by their first cell."""
    lines = result.stdout.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"{head} "))
    cells = [line.split() for line in lines[start + 1 :] if line]
    return {one[0]: one[1:] for one in cells}


# --- what comes -------------------------------------------------------------------------------------------------------


def test_digits_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table = pd.read_csv(DIGITS)
    weighted = "max_weight(target == 3: 5, target != 4: 1)"
    options = ["--weighted", weighted, "--by", "target", "--size", 1_000, "--seed", 7, "--epoch", 2, "--batch-size", 50]
    files = ["--out", tmp_path / "rows.npy", "--plot", tmp_path / "a.png", "--json", tmp_path / "a.json"]
    result = run(DIGITS, *options, *files)
    rows = np.load(tmp_path / "rows.npy")
    data = mtgen.Dataset(table, inputs={"x": mtgen.Columns("target")})
    np.testing.assert_array_equal(rows, data.rows.weighted(weighted).plan(1_000, seed=7, epoch=2, block=50)[:])
    counts = table["target"].iloc[rows].value_counts()
    shown = lines_of(result, "target")
    assert {name: int(shown[str(name)][4]) for name in counts.index} == counts.to_dict()
    assert shown["4"][2:6] == ["0", "0%", "0", "0%"]
    assert "no row of weight > 0: 4" in result.stdout
    assert "batches of 50: 20 counted" in result.stdout
    found = json.loads((tmp_path / "a.json").read_text())
    assert {line["class"]: line["drawn_rows"] for line in found["classes"] if line["drawn_rows"]} == counts.to_dict()
    assert (found["size"], found["seed"], found["epoch"], found["block"]) == (1_000, 7, 2, 50)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert result.stdout.splitlines()[-2:] == [f"1,000 rows: {tmp_path / 'rows.npy'}", f"picture: {tmp_path / 'a.png'}"]
    assert run(DIGITS, *options).stdout == "\n".join(result.stdout.splitlines()[:-2]) + "\n"


def test_all_left_out_is_a_shuffle_of_every_row() -> None:
    text = run(DIGITS).stdout
    assert "1,797 positions (seed 0, epoch 0)" in text
    assert "1,797 of 1,797 came, 0 never" in text
    assert len(text.splitlines()) == 5


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_are_written_with_the_lines_of_the_table(letters: Path, tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"rows.{ending}"
    run(letters, "--weighted", "weight", "--size", 30, "--out", out)
    found = mtgen.read_table(out)
    table = pd.read_csv(letters)
    assert found.columns.tolist() == ["row", "label", "age", "weight"]
    pd.testing.assert_frame_equal(found.drop(columns="row"), table.iloc[found["row"]].reset_index(drop=True))
    assert (found["weight"] == 1).all()
    assert len(found) == 30


def test_balanced_counts_its_own_column(letters: Path) -> None:
    shown = lines_of(run(letters, "--balanced", "label", "--over", 1, "--under", 1), "label")
    assert [shown[name][4] for name in "abc"] == ["4", "4", "4"]
    shown = lines_of(run(letters, "--balanced", "label", "--over", 0, "--under", 0), "label")
    assert [shown[name][4] for name in "abc"] == ["8", "3", "1"]


def test_targets_and_counts_by_class(letters: Path) -> None:
    shown = lines_of(run(letters, "--balanced", "label", "--counts", "a=5,b=7,c=2"), "label")
    assert [shown[name][4] for name in "abc"] == ["5", "7", "2"]
    one_by_one = run(letters, "--balanced", "label", "--counts", "a=5", "--counts", "b=7", "--counts", "c=2")
    assert lines_of(one_by_one, "label") == shown
    both = ["--over", 1, "--under", 1, "--size", 100]
    shown = lines_of(run(letters, "--balanced", "label", "--target", "a=0.2,b=0.2,c=0.6", *both), "label")
    assert [shown[name][4] for name in "abc"] == ["20", "20", "60"]
    shown = lines_of(run(letters, "--balanced", "label", "--target", "a=0.5,b=0.5,c=0", "--exact"), "label")
    assert [shown[name][4] for name in "abc"] == ["3", "3", "0"]


def test_classes_with_commas_and_numbers_are_found(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.csv", kind=["a,b", "c=d", "c=d"], number=[1, 2, 2])
    shown = run(table, "--balanced", "kind", "--counts", "a,b=4", "--counts", "c=d=2")
    assert lines_of(shown, "kind")["a,b"][4] == "4"
    assert lines_of(run(table, "--balanced", "number", "--counts", "1=2,2=6"), "number")["2"][4] == "6"


def test_several_columns_make_classes_together(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.csv", kind=list("aab"), site=[1, 1, 2])
    text = run(table, "--balanced", "kind", "--balanced", "site", "--over", 1, "--under", 0, "--size", 8).stdout
    assert "a, 1" in text
    assert "b, 2" in text
    assert run(table, "--balanced", "kind", "--by", "site").stdout.splitlines()[6].startswith("site")


def test_a_condition_leaves_the_others_out_before_all_else(letters: Path) -> None:
    shown = lines_of(run(letters, "--where", "age >= 6", "--balanced", "label", "--over", 1, "--under", 1), "label")
    assert {name: shown[name][0] for name in shown} == {"a": "2", "b": "3", "c": "1"}
    assert [shown[name][4] for name in "abc"] == ["2", "2", "2"]


def test_a_clause_says_all(letters: Path) -> None:
    text = "WHERE age < 10 SAMPLE BY max_weight(label == 'b': 1000000, True: 1) REPLACE FALSE LIMIT 20 PERCENT"
    result = run(letters, "--clause", text, "--by", "label")
    assert "2 positions" in result.stdout
    assert lines_of(result, "label")["b"][4] == "2"


def test_without_replacement_no_row_comes_twice(letters: Path) -> None:
    assert "1 times on average, 1 at most" in run(letters, "--weighted", "age", "--no-replace").stdout
    assert "11 positions" in run(letters, "--weighted", "age", "--no-replace").stdout
    assert "1 at most" in run(letters, "--no-replace", "--size", 5).stdout
    assert "1 at most" in run(letters, "--balanced", "label", "--counts", "a=5,b=3,c=1", "--no-replace").stdout


def test_lists_of_labels_count_each(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pd.DataFrame({"findings": [["x", "y"], ["x"], []]}).to_parquet(tmp_path / "t.parquet")
    shown = lines_of(run(tmp_path / "t.parquet", "--by", "findings"), "findings")
    assert (shown["x"][0], shown["y"][0]) == ("2", "1")


def test_a_weight_choice_is_passed_on(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.csv", a=[1, 1, 0], b=[1, 0, 1])
    for choice, want in (("max", "33.33%"), ("sum", "50.00%")):
        text = "a == 1: 2, b == 1: 2"
        shown = lines_of(run(table, "--weighted", text, "--weight-choice", choice, "--by", "a", "--by", "b"), "a, b")
        assert shown["1,"][4] == want


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--weighted", "age", "--balanced", "label"], 1, "--weighted and --balanced each say how often rows come"),
        (["--clause", "SAMPLE BY age", "--where", "age > 1"], 1, "--clause says WHERE and REPLACE itself"),
        (["--clause", "SAMPLE BY age", "--no-replace"], 1, "--clause says WHERE and REPLACE itself"),
        (["--over", "1"], 1, "--over without --balanced"),
        (["--counts", "a=1"], 1, "--counts without --balanced"),
        (["--exact"], 1, "--exact without --balanced"),
        (["--weight-choice", "sum"], 1, "--weight-choice is for --weighted"),
        (["--balanced", "label", "--counts", "a=1,b=1,c=1", "--over", "1"], 1, "leave out --over and --under"),
        (["--balanced", "label", "--counts", "a=1,z=1"], 1, "needs class=number of classes of 'label', such as a=1,"),
        (["--balanced", "label", "--counts", "a"], 1, "received 'a'"),
        (["--balanced", "label", "--counts", "a=1,a=2"], 1, "names the class 'a' twice"),
        (["--balanced", "label", "--counts", "a=x"], 1, "must be a number, received 'x'"),
        (["--balanced", "label", "--counts", "a=1.5,b=1,c=1"], 1, "must be whole, received 1.5"),
        (["--balanced", "label", "--counts", "a=1,b=1"], 1, "'c'"),
        (["--balanced", "label", "--balanced", "age", "--counts", "a=1"], 1, "names classes of one column"),
        (["--balanced", "lable"], 1, "Did you mean 'label'?"),
        (["--by", "lable"], 1, "Did you mean 'label'?"),
        (["--where", "age > 99"], 1, "no row of 12 meets the condition 'age > 99'"),
        (["--where", "age >"], 1, "error: "),
        (["--weighted", "agge"], 1, "agge"),
        (["--no-replace", "--size", "13"], 1, "there are 12 rows to draw, 13 positions were asked for"),
        (["--size", "0"], 2, "--size"),
        (["--seed", "-1"], 2, "--seed"),
        (["--plot", "a.svg"], 1, "must end in .png"),
        (["--out", "rows.txt"], 1, "--out must end in .csv, .npy, .parquet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_plain_text(letters: Path, options: list[str], code: int, says: str) -> None:
    result = run(letters, *options, code=code)
    assert says in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_there_is_not_overwritten(letters: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("mine")
    result = run(letters, "--out", out, code=1)
    assert "it exists already, nothing is overwritten" in result.stderr
    assert out.read_text() == "mine"
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "nowhere")
    assert "it exists already" in run(letters, "--out", link, code=1).stderr


def test_what_cannot_be_written_is_said(letters: Path, tmp_path: Path) -> None:
    assert "cannot be written" in run(letters, "--out", tmp_path / "no" / "rows.csv", code=1).stderr
    assert "cannot be written" in run(letters, "--json", tmp_path / "no" / "a.json", code=1).stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["letters.csv"]


def test_a_table_with_a_column_row_is_not_written_with_two(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.csv", row=[1, 2])
    assert "write them with --out rows.npy" in run(table, "--out", tmp_path / "a.csv", code=1).stderr
    run(table, "--out", tmp_path / "a.npy")
    assert sorted(np.load(tmp_path / "a.npy").tolist()) == [0, 1]


def test_missing_labels_and_weights_are_refused_and_may_be_counted(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.csv", label=["a", None, "b"], weight=[1, 2, None])
    assert "has no value in 1 row (1)" in run(table, "--balanced", "label", code=1).stderr
    assert "has no value in 1 row (2)" in run(table, "--weighted", "weight", code=1).stderr
    assert lines_of(run(table, "--by", "label"), "label")["(missing)"][0] == "1"


def test_no_table() -> None:
    assert "there is no such file" in run("nowhere.csv", code=1).stderr
