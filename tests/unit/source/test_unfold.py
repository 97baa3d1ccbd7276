"""Macros expanded in a kernel's text."""

from __future__ import annotations

from hipopt.source.macros import Macro
from hipopt.source.unfold import unfold

AT = Macro("AT", ("a", "r", "c"), "a[(r) * N + (c)]")
N = Macro("N", None, "16")


def test_a_macro_with_arguments_is_replaced_with_those_inside() -> None:
    """Arguments stand where the parameters stood, and macros in the result are expanded too."""
    assert unfold("AT(C, f(1, 2), x) = 0;", {"AT": AT, "N": N}) == "C[(f(1, 2)) * 16 + (x)] = 0;"


def test_a_macro_that_names_itself_ends() -> None:
    """A macro isn't expanded within its own expansion."""
    assert unfold("x", {"x": Macro("x", None, "x + 1")}) == "x + 1"


def test_strings_comments_and_lone_names_stay() -> None:
    """Only code is expanded, and a macro with arguments only where arguments follow."""
    text = '"N" /* N */ AT;'
    assert unfold(text, {"AT": AT, "N": N}) == text
