"""Manifests made from HIP sources."""

from pathlib import Path

import pytest

from hipopt.errors import UsageError
from hipopt.extract import extract
from hipopt.source.slice import slice_kernel

KERNEL = "__global__ void {}(int* x) {{ x[0] = 1; }}\n"


def test_one_row_a_kernel(tmp_path: Path) -> None:
    """Every kernel of every file is a row with an id, the whole function and its file."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.hip").write_text(KERNEL.format("one") + KERNEL.format("two"))
    (tmp_path / "a.cu").write_text("template <typename T>\n" + KERNEL.format("three"))
    (tmp_path / "host.cpp").write_text("int main() {}\n")
    (tmp_path / "notes.txt").write_text(KERNEL.format("no"))
    rows = list(extract([tmp_path], relative_to=tmp_path))
    assert [(r["id"], r["name"], r["hip_file"]) for r in rows] == [
        (1, "three", "a.cu"), (2, "one", "sub/b.hip"), (3, "two", "sub/b.hip"),
    ]  # fmt: skip
    assert rows[0]["code_body"] == "template <typename T>\n" + KERNEL.format("three").strip()


def test_numbered_files_keep_their_numbers_order(tmp_path: Path) -> None:
    """`hip_10_...` comes after `hip_9_...`."""
    for number in (10, 9, 1):
        (tmp_path / f"hip_{number}_Relu.hip").write_text(KERNEL.format(f"k{number}"))
    assert [r["name"] for r in extract([tmp_path])] == ["k1", "k9", "k10"]


def test_names_are_qualified_where_needed(tmp_path: Path) -> None:
    """The name of every row finds that row's kernel again."""
    path = tmp_path / "n.hip"
    path.write_text("".join(f"namespace {n} {{ {KERNEL.format('k')} }}\n" for n in "ab"))
    rows = list(extract([path]))
    assert [r["name"] for r in rows] == ["a::k", "b::k"]
    for row in rows:
        assert slice_kernel(path.read_text(), row["name"]).kernel_text == row["code_body"]


def test_what_cannot_be_read_is_told_and_passed_over(tmp_path: Path) -> None:
    """A broken file and a kernel made by a macro are warnings, and the rest goes on."""
    (tmp_path / "a.hip").write_text("__global__ void broken(int* x) {\n")
    (tmp_path / "b.hip").write_bytes(KERNEL.format("fine").encode() + b"// \xff\n")
    (tmp_path / "c.hip").write_text("#define K(n) __global__ void n(int* x) {}\nK(made)\n")
    warnings: list[str] = []
    assert [r["name"] for r in extract([tmp_path], warnings=warnings)] == ["fine"]
    assert len(warnings) == 2
    assert "a.hip: line 1: opening bracket" in warnings[0]
    assert "'made' exists only as the macro K expands" in warnings[1]


def test_a_missing_path_is_a_usage_error(tmp_path: Path) -> None:
    """A path that isn't there is named."""
    with pytest.raises(UsageError, match="nowhere"):
        list(extract([tmp_path / "nowhere"]))
