"""Tables of a proof's results, and work spread over processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pool import Row, Table, spread


def by_name(row: Row) -> str:
    return str(row["name"])


def squares(number: int) -> list[Row]:
    return [{"name": str(number), "square": number * number}]


def failing(number: int) -> list[Row]:
    raise ValueError(f"no square of {number}")


def test_a_table_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What an earlier run added is there; a line that a stop broke off is not, and is cut away."""
    path = tmp_path / "table.jsonl"
    first = Table(path, by_name)
    first.add({"name": "a", "value": 1})
    path.write_text(path.read_text() + '{"name": "b", "va')
    second = Table(path, by_name)
    assert second.rows == [{"name": "a", "value": 1}]
    second.add({"name": "c", "value": 3})
    third = Table(path, by_name)
    assert {"name": "c"} in third
    assert {"name": "b"} not in third
    assert third[{"name": "a"}]["value"] == 1


def test_work_is_spread_and_comes_back_whole() -> None:
    """Every job's rows come back, whichever process did it."""
    rows = list(spread(squares, range(7), processes=2))
    assert sorted(row["square"] for row in rows) == [0, 1, 4, 9, 16, 25, 36]


def test_trouble_of_ours_ends_the_run() -> None:
    """An error in the work is no result: it comes out."""
    with pytest.raises(ValueError, match="no square"):
        list(spread(failing, range(3), processes=1))
