"""Facts about reading replies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt.llm.reply import CUT_OFF, Candidate, Malformed, parse_reply

CODE = "__global__ void saxpy(float* y, int n) {\n  y[0] = n;\n}"
OTHER = "__global__ void saxpy(float* y, int n) {\n  y[1] = n;\n}"
BARE = "__global__ void other(float* y) {}"


def fenced(code: str = CODE, tag: str = "hip", fence: str = "```") -> str:
    return f"{fence}{tag}\n{code}\n{fence}\n"


THINKING = "```thinking\nless traffic\n```\n"

GOOD = {
    "thinking first": THINKING + fenced(),
    "code first": fenced() + THINKING,
    "prose around": f"Sure!\n\n{THINKING}\nHere:\n\n{fenced()}\nDone.",
    "CRLF": (THINKING + fenced()).replace("\n", "\r\n"),
    "tag HIP": THINKING + fenced(tag="HIP"),
    "tag cpp": THINKING + fenced(tag="cpp"),
    "tag c++": THINKING + fenced(tag="c++"),
    "tag cuda": THINKING + fenced(tag="cuda"),
    "tag with title": THINKING + fenced(tag='hip title="x"'),
    "no tag": THINKING + fenced(tag=""),
    "tildes": "~~~thinking\nless traffic\n~~~\n" + fenced(fence="~~~"),
    "four backticks": THINKING + fenced(fence="````"),
    "indented fence": THINKING + f"  ```hip\n{CODE}\n  ```",
    "xml": f"<thinking>\nless traffic\n</thinking>\n<hip>\n{CODE}\n</hip>",
    "xml thinking and fence": f"<thinking>less traffic</thinking>\n{fenced()}",
    "think tag": f"<think>\nless traffic\n</think>\n{fenced()}",
    "only the closing think tag": f"less traffic\n</think>\n{fenced()}",
    "draft in think tag": f"<think>{fenced(OTHER)}</think>{THINKING}{fenced()}",
    "json": json.dumps({"hip": CODE, "thinking": "less traffic"}),
    "json in a block": fenced(json.dumps({"hip": CODE, "thinking": "less traffic"}), tag="json"),
    "several blocks, last wins": fenced(OTHER) + THINKING + fenced(),
    "snippet of other code after it": THINKING + fenced() + fenced("int x;", tag="cpp"),
    "original quoted after it": THINKING + fenced() + "It was:\n" + fenced(OTHER, tag="cpp"),
    "thinking never closed": "```thinking\nless traffic\n" + fenced(),
    "other kernel last": THINKING + fenced() + fenced(BARE),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_reply_that_leaves_no_doubt_is_read(text: str) -> None:
    """Code and thinking come out alike, whatever dress the reply wears."""
    found = parse_reply(text, "saxpy")
    assert isinstance(found, Candidate)
    assert found.code == CODE
    assert found.thinking is not None
    assert "less traffic" in found.thinking


def test_code_inside_thinking_is_not_the_answer() -> None:
    """A draft within the thinking block loses against the block after it."""
    draft = f"```thinking\nfirst idea:\n```cpp\n{OTHER}\n```\nbetter:\n```\n"
    found = parse_reply(draft + fenced(), "saxpy")
    assert found == Candidate(code=CODE, thinking="first idea:\nbetter:")


def test_unclosed_think_tag_hides_no_answer() -> None:
    """An opening tag without its end is dropped, and the block after it is read."""
    found = parse_reply(f"<think>\nhm\n{fenced()}", "saxpy")
    assert isinstance(found, Candidate)


def test_code_in_think_tags_alone_is_no_answer() -> None:
    """What the model only thought, it did not propose."""
    assert isinstance(parse_reply(f"<think>{fenced()}</think>I give up.", "saxpy"), Malformed)


def test_namespace_of_the_kernel_does_not_matter() -> None:
    """A qualified name is looked for by its last part."""
    assert isinstance(parse_reply(fenced(), "a::b::saxpy"), Candidate)


def test_missing_thinking_is_no_fault() -> None:
    """A reply of code alone is a candidate without thinking."""
    assert parse_reply(fenced(), "saxpy") == Candidate(code=CODE, thinking=None)


def test_attributes_between_global_and_name_are_allowed() -> None:
    """Launch bounds, templates and line breaks don't hide the kernel."""
    code = 'extern "C" __global__ void\n__launch_bounds__(256, 2)\nsaxpy (float* y) { }'
    assert isinstance(parse_reply(fenced(code), "saxpy"), Candidate)


def test_a_body_alone_is_taken_as_it_is() -> None:
    """Whether a body fits the kernel is for the splicer to say."""
    assert parse_reply(fenced("y[0] = n;"), "saxpy") == Candidate(code="y[0] = n;", thinking=None)


def test_a_whole_kernel_comes_before_later_snippets() -> None:
    """A longer name is another kernel's, and does not hide the one that was asked for."""
    other = fenced(CODE.replace("saxpy", "my_saxpy"))
    found = parse_reply(fenced() + other, "saxpy")
    assert isinstance(found, Candidate)
    assert found.code == CODE


BAD = {
    "empty": ("", "the reply is empty"),
    "blank": (" \r\n ", "the reply is empty"),
    "prose": ("I can't do that.", "begins with ```hip"),
    "code without fences": (CODE, "begins with ```hip"),
    "empty block": (fenced(""), "holds the kernel 'saxpy'"),
    "code in another language": (fenced("print()", tag="python"), "begins with ```hip"),
    "cut off in code": (THINKING + "```hip\n" + CODE, CUT_OFF),
    "cut off in thinking": ("```thinking\nit is", CUT_OFF),
    "cut off in tags": ("<hip>\n" + CODE, CUT_OFF),
    "second version cut off": (fenced(OTHER) + "```hip\n" + CODE, CUT_OFF),
    "json of something else": ('{"hip": 3}', "begins with ```hip"),
}


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD)
def test_anything_else_is_malformed_with_its_reason(text: str, reason: str) -> None:
    """A reply without a whole kernel says what it lacks."""
    found = parse_reply(text, "saxpy")
    assert isinstance(found, Malformed)
    assert reason in found.reason


def test_half_characters_do_not_survive() -> None:
    """A lone surrogate, which JSON can hold and UTF-8 can't, becomes a question mark."""
    reply = '{"hip": "__global__ void saxpy() { /* \\ud800 */ }", "thinking": "\\udfff"}'
    found = parse_reply(reply, "saxpy")
    assert found == Candidate(code="__global__ void saxpy() { /* ? */ }", thinking="?")


FENCES = ("```", "````", "~~~", "`", "hip", "thinking")
TAGS = ("<think>", "</think>", "<thinking>", "</thinking>", "<hip>", "</hip>")
PIECES = st.sampled_from(
    (*FENCES, *TAGS, "{", "}", '"', "\n", "\r", " ", CODE, '{"hip":', "[" * 3000)
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_no_text_raises(text: str) -> None:
    """Whatever a model writes is either a candidate or malformed."""
    assert isinstance(parse_reply(text, "saxpy"), Candidate | Malformed)


def test_deep_json_is_malformed() -> None:
    """Nesting beyond Python's stack is a bad reply and no crash."""
    assert isinstance(parse_reply('{"a":' * 100_000, "saxpy"), Malformed)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r`~")))
def test_code_comes_out_as_it_went_in(comment: str) -> None:
    """No character of the code is changed between its fences, blank lines around it apart."""
    code = f"{CODE}\n//{comment}."
    assert parse_reply(THINKING + fenced(code), "saxpy") == Candidate(
        code=code, thinking="less traffic"
    )
