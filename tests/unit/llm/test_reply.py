"""Reading a model's answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt.llm.reply import Candidate, Malformed, parse_reply

CODE = "__global__ void scale(float* x) { x[0] *= 2; }"
HIP = f"```hip\n{CODE}\n```"
THINKING = "```thinking\nfewer loads\n```"


@pytest.mark.parametrize(
    "reply",
    [
        f"{THINKING}\n\n{HIP}",
        f"{HIP}\nand\n{THINKING}",
        f"Sure!\r\n\r\n{THINKING}\r\n{HIP}\r\n".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"<think>fewer loads</think>\n{HIP}",
        f"fewer loads</think>\n{HIP}",
        f"<think>\nfewer loads\n</think>\n```\n{CODE}\n```",
        f"```thinking\nfewer loads\n```\n```cpp\n{CODE}\n```",
        f"~~~thinking\nfewer loads\n~~~\n~~~hip\n{CODE}\n~~~",
        f"{THINKING}\n````hip\n{CODE}\n````",
    ],
)
def test_every_documented_form_is_understood(reply: str) -> None:
    """Whatever the form, the code comes out whole and with its thinking."""
    assert parse_reply(reply, "scale") == Candidate(code=CODE + "\n", thinking="fewer loads")


def test_a_plain_fence_needs_no_thinking() -> None:
    """Thinking is optional; then it is None, not an empty text."""
    assert parse_reply(f"```\n{CODE}\n```", "scale") == Candidate(code=CODE + "\n", thinking=None)


def test_fences_inside_the_thinking_are_thinking() -> None:
    """A snippet in the thinking is not taken for the answer."""
    reply = f"```thinking\nI tried\n```cpp\nint scale;\n```\nbut no.\n```\n{HIP}"
    parsed = parse_reply(reply, "scale")
    assert isinstance(parsed, Candidate)
    assert parsed.code.strip() == CODE
    assert "int scale;" in (parsed.thinking or "")


def test_of_several_blocks_the_last_that_names_the_kernel_counts() -> None:
    """A first draft and a trailing usage example don't count."""
    draft = "```hip\n__global__ void scale(float*) { /* draft */ }\n```"
    usage = "```hip\nint other();\n```"
    parsed = parse_reply(f"{draft}\n{HIP}\n{usage}", "ns::scale")
    assert isinstance(parsed, Candidate)
    assert parsed.code.strip() == CODE


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("", "empty"),
        ("I can't do that.", "no ```hip block"),
        (CODE, "no ```hip block"),
        (f"```hip\n{CODE}", "breaks off"),
        ("```hip\n\n```", "empty"),
        (f"<think>endless {HIP}", "inside its <think>"),
        (THINKING, "no ```hip block"),
    ],
)
def test_anything_else_is_malformed_and_says_why(reply: str, word: str) -> None:
    """A reply without a whole kernel has a reason that the model can act on."""
    parsed = parse_reply(reply, "scale")
    assert isinstance(parsed, Malformed)
    assert word in parsed.reason


_PIECES = st.sampled_from(
    ["```", "```hip", "```thinking", "~~~", "<think>", "</think>", "\n", "\r\n", CODE, "`", "x\0é"]
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=20)), max_size=30))
def test_no_text_breaks_the_parser(pieces: list[str]) -> None:
    """Any text gives a candidate with code in it, or a reason."""
    parsed = parse_reply("\n".join(pieces), "scale")
    if isinstance(parsed, Candidate):
        assert parsed.code.strip()
    else:
        assert parsed.reason
