"""Facts about fenced blocks."""

from hipopt.llm.fences import find_blocks


def test_a_tagged_fence_inside_a_block_opens_a_block_of_its_own() -> None:
    """Code inside prose does not end the prose at its first closing fence."""
    text = "```thinking\nbefore\n```cpp\nint x;\n```\nafter\n```\n"
    prose, code = find_blocks(text)
    assert prose.text == "before\nafter"
    assert prose.closed
    assert code.text == "int x;"
    assert not code.outermost


def test_a_longer_fence_holds_shorter_ones() -> None:
    """A plain run of three backticks is text inside a block of four."""
    (block,) = find_blocks("````hip\na\n```\nb\n````")
    assert block.text == "a\n```\nb"


def test_tildes_do_not_close_backticks() -> None:
    """The two kinds of fence know nothing of each other."""
    (block,) = find_blocks("```hip\na\n~~~\nb\n```")
    assert block.text == "a\n~~~\nb"


def test_a_block_that_the_text_ends_in_is_not_closed() -> None:
    """The end of the text is told from a closing fence."""
    (block,) = find_blocks("```hip\nint x;")
    assert not block.closed


def test_a_block_in_one_that_never_ends_counts_as_outermost() -> None:
    """Thinking whose fence was forgotten does not swallow the code after it."""
    _, code = find_blocks("```thinking\nplan\n```hip\nint x;\n```")
    assert code.outermost


def test_inline_code_in_backticks_is_no_fence() -> None:
    """A line of inline code opens nothing."""
    assert find_blocks("```int x;``` is inline") == []
