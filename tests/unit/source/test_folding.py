"""C expressions of host code folded to numbers."""

from __future__ import annotations

import pytest

from hipopt.source.folding import Function, Names, fold

NAMES = Names(
    {"n": 1000},
    {"block": "256", "grid": "(n + block - 1) / block", "shape": "dim3(block, 4)", "q.x": "7"},
    {"div_up": Function(("a", "b"), "(a + b - 1) / b")},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("grid", 4),
        ("shape", (256, 4, 1)),
        ("shape.y", 4),
        ("q", (7, 1, 1)),
        ("div_up(n, 256)", 4),
        ("sizeof(float) * block * 2", 2048),
        ("std::min(n, 3)", 3),
        ("(unsigned int)ceil((float)n / 256.0f)", 4),
        ("static_cast<int>(n / 3.0)", 333),
        ("dim3{4, 4}", (4, 4, 1)),
        ("{1, 2}", (1, 2, 1)),
        ("n > 3 ? 1 : 2", 1),
        ("1 << 20", 1 << 20),
        ("-7 / 2", -3),
        ("0x10u", 16),
    ],
)
def test_an_expression_folds_as_c_computes_it(text: str, value: object) -> None:
    """Arithmetic, casts, dim3, known names and one-line functions have the value that C gives."""
    assert fold(text, NAMES) == value


@pytest.mark.parametrize("text", ["argc", "n / 0", "f(n)", "a +", "atoi(argv[1])", ""])
def test_what_is_not_known_is_no_number(text: str) -> None:
    """Unknown names, calls, divisions by zero and torn text give None, never an exception."""
    assert fold(text, NAMES) is None


def test_definitions_in_a_circle_are_no_number() -> None:
    """Two names that stand for each other end the search."""
    assert fold("a", Names({}, {"a": "b + 1", "b": "a + 1"})) is None
