"""Tokens of HIP source."""

from hypothesis import given
from hypothesis import strategies as st

from hipopt.source.tokens import (
    clean,
    code_words,
    directive_argument,
    directive_name,
    fingerprint,
    tokenize,
)


@given(st.text(alphabet=st.sampled_from("ab1 \n\\\"'/*#(){}R;.é<>"), max_size=60))
def test_tokens_cover_the_text(text: str) -> None:
    """Every character of any text is in exactly one token."""
    assert "".join(t.text for t in tokenize(text)) == text


def test_words_are_those_the_compiler_sees() -> None:
    """Comments, strings, raw strings and include paths hold no words; macro bodies do."""
    text = '#include <word1>\n#define A word2 // word3\nword4 /* word5 */ "word6" R"(word7)" \'w\''
    assert [w.text for w in code_words(text)] == ["A", "word2", "word4"]


def test_a_directive_may_go_on_over_lines() -> None:
    """A backslash or a comment at a line's end belongs to the directive."""
    text = "  # define A(x) \\\n x /* a\n b */ + 1 // end\nint i;"
    directive = next(t for t in tokenize(text) if t.kind == "directive")
    assert directive_name(directive.text) == "define"
    assert " ".join(directive_argument(directive.text).split()) == "A(x) x + 1"


def test_a_hash_inside_a_comment_is_no_directive() -> None:
    """Only a `#` that starts a line of code starts a directive."""
    assert not any(t.kind == "directive" for t in tokenize("/*\n#define A\n*/ x # y"))


def test_fingerprint_ignores_layout() -> None:
    """Two texts that differ in spaces and comments have one fingerprint."""
    assert fingerprint("a  =\n b; // c") == fingerprint("a = b;")
    assert fingerprint("a = b;") != fingerprint("a = c;")


def test_clean_gives_unix_lines() -> None:
    """Line ends, byte order mark and control characters are made plain."""
    assert clean("\ufeffa\r\nb\x00\rc") == "a\nb \nc"
