"""What a kernel's text shows of its indices and scalars."""

from __future__ import annotations

from hipopt.source.slice import slice_kernel
from hipopt.source.usage import Body, Usage


def usage(source: str) -> Usage:
    return Body(slice_kernel(source, "k")).usage


def test_bounds_follow_indices_through_variables_and_macros() -> None:
    """A comparison is known by the index that the compared value comes from."""
    found = usage("""
#define ROW (blockIdx.y * blockDim.y + threadIdx.y)
__global__ void k(float* c, int m, int n, int depth) {
  int row = ROW;
  const int col = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= m || col >= n) return;
  for (int i = 0; i < depth; ++i) c[row * n + col] += i;
}""")
    assert found.bounds["m"] == {frozenset({"by", "ty"})}
    assert found.bounds["n"] == {frozenset({"bx", "tx"})}
    assert found.trips == {"depth"}
    assert frozenset({"by", "ty"}) in found.strides["n"]


def test_helpers_pass_indices_on() -> None:
    """An index that a device function computes counts as the kernel's own."""
    found = usage("""
__device__ int where() { return blockIdx.x * blockDim.x + threadIdx.x; }
__global__ void k(float* x, int n) { int i = where(); if (i < n) x[i] = 1; }""")
    assert found.bounds["n"] == {frozenset({"bx", "tx"})}
    assert {"bx", "tx"} <= found.indices


def test_pointers_that_index_others_are_known() -> None:
    """What is read through one pointer and subscripts another, or bounds a loop, is told."""
    found = usage("""
__global__ void k(const int* ptr, const int* col, const float* x, float* y) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0;
  for (int j = ptr[r]; j < ptr[r + 1]; ++j) sum += x[col[j]];
  y[r] = sum;
}""")
    assert found.subscripts["x"] == {"col"}
    assert found.trip_pointers == {"ptr"}
    assert found.subscripts["col"] == {"ptr"}


def test_shared_arrays_are_listed() -> None:
    """Static arrays with their bounds, dynamic ones with their element type."""
    found = usage("""
#define T 16
__global__ void __launch_bounds__(256) k(float* x) {
  __shared__ float tile[T][T + 1];
  extern __shared__ double more[];
  x[threadIdx.x] = tile[0][0] + more[0];
}""")
    assert found.lds_shapes == [("16", "16 + 1")]
    assert [t.split()[0] for t in found.lds_types] == ["double"]
    assert found.launch_bounds == "256"


def test_buffers_that_are_only_asked_for_zero_or_one_hold_flags() -> None:
    """Also by way of a variable; what is counted with, or compared with others, is no flag."""
    found = usage("""
__global__ void k(int* mask, const int* seen, const int* level, const int* weight,
                  const unsigned char* on, int* cost, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int visited = seen[i];
  if (mask[i] == 1 && !visited) {
    mask[i] = 0;
    if (level[i] == n && (on[i])) cost[i] += weight[i] != 0 ? weight[i] : 1;
  }
}""")
    assert found.flags == {"mask", "seen", "on"}


def test_comparisons_with_literals_are_cases_of_a_scalar() -> None:
    """Each gives a number by which it comes out true."""
    found = usage("""
__global__ void k(float* x, int mode, int levels, int n) {
  if (mode == 2) x[0] = 1; else if (5 == mode) x[0] = 2;
  if (levels > 1 && 3u >= n) x[1] = levels;
}""")
    assert {name: list(cases) for name, cases in found.cases.items()} == {
        "mode": [2, 5], "levels": [2], "n": [3],
    }  # fmt: skip


def test_rows_are_known_by_their_two_ends() -> None:
    """Whatever the pointer is called, and whether the loop is a `for` or a `while`."""
    found = usage("""
__global__ void k(const int* edges, const int* rows, const int* col, float* y, int most) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  int at = edges[r];
  const int end = edges[r + 1];
  while (at < end) y[r] += col[at++];
  int turns = 0;
  while (turns < most) turns += rows[r];
}""")
    assert found.offsets == {"edges"}
    assert found.trips == {"most"}


def test_what_an_index_is_compared_with_is_like_an_index() -> None:
    """Lengths and labels that a buffer holds; numbers compared among themselves are none."""
    found = usage("""
__global__ void k(const int* length, const int* label, const int* a, const int* b, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < length[blockIdx.y] && label[i] == threadIdx.x && a[i] < b[i]) y[i] = 1;
}""")
    assert found.compared == {"length", "label"}


def test_pointers_moved_by_content_are_indexed_by_it() -> None:
    """Content that is added to a pointer indexes it as a subscript does."""
    found = usage("""
__global__ void k(const int* at, const int* row, const float* x, float* y, int dim) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  x += row[i] * dim;
  atomicAdd(y + at[i], x[0]);
}""")
    assert found.subscripts["x"] == {"row"}
    assert found.subscripts["y"] == {"at"}
