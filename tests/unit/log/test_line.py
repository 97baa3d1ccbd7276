import json
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipopt.log.line import check_line, decode_line, is_row, is_sealed, seal, supersedes

ROW = '{"id":"é","status":"failure","failure_kind":"timeout","retry":2}'.encode()


def test_the_checksum_is_that_of_the_line_without_it() -> None:
    """Anyone can check a row: take the last key out, and CRC-32 what is left."""
    line = seal(ROW)
    plain = json.loads(line)
    assert list(plain)[-1] == "checksum"
    assert plain.pop("checksum") == f"crc32:{crc32(ROW):08x}"
    assert plain == json.loads(ROW)
    assert is_sealed(line)
    assert is_sealed(line + b"\n")


@given(at=st.integers(0, len(seal(ROW)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_never_changes_a_row_unseen(at: int, bit: int) -> None:
    """A line with one bit flipped is refused, or says what it said: only its seal was hit."""
    line = bytearray(seal(ROW))
    line[at] ^= 1 << bit
    try:
        row = decode_line(bytes(line))
    except ValueError:
        return
    assert at >= len(ROW) - 1
    assert row == decode_line(ROW)


@given(st.binary(max_size=100))
def test_noise_is_never_more_than_a_value_error(line: bytes) -> None:
    """Whatever stands on a line, with or without what looks like a checksum, nothing breaks."""
    for content in (line, line + seal(ROW), seal(line or b"{}"), seal(ROW)[-29:] + line):
        if is_row(content):
            check_line(content)


@pytest.mark.parametrize("retry", ["null", "-1", '"1"', "1.5", "true", "[]"])
def test_a_retry_of_another_kind_is_none(retry: str) -> None:
    """A script that has its own idea of `retry` is read as if it had none."""
    row = decode_line(f'{{"id":1,"status":"success","retry":{retry}}}'.encode())
    assert (row.id, row.retry) == (1, 0)


def test_what_a_script_writes_with_json_is_read() -> None:
    """NaN and halves of surrogate pairs are no JSON, but Python writes and reads them."""
    row = {"id": 1, "status": "success", "speedup": float("nan"), "opt_think": "\ud83d"}
    assert decode_line(json.dumps(row).encode()).id == 1
    with pytest.raises(ValueError, match="id"):
        decode_line(json.dumps(row | {"id": True}).encode())


@given(st.lists(st.integers(0, 3), min_size=1))
def test_the_highest_retry_counts_and_among_equals_the_first(retries: list[int]) -> None:
    """The rule, taken row by row, finds the same row however many there are."""
    held = None
    for at, retry in enumerate(retries):
        if supersedes(retry, None if held is None else retries[held]):
            held = at
    assert held == retries.index(max(retries))
