"""The parser of Server-Sent Events: what the standard says of lines, fields and messages, however the bytes come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client.sse import Sent, Stream

Message = tuple[str | None, str | None, list[str]]
"""Its id, its event, and the lines of its data."""

ends = st.sampled_from(["\n", "\r", "\r\n"])
texts = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)
messages = st.lists(
    st.tuples(st.none() | texts, st.none() | texts.filter(bool), st.lists(texts, min_size=1, max_size=3)), max_size=5
)
pieces = st.sampled_from(
    [
        *(b"data", b"id", b"event", b"retry", b":", b" ", b"x", b"7", b"\0"),
        *(b"\r", b"\n", b"\r\n", b"\n\n"),
        *(b"\xef\xbb\xbf", b"\xc3", b"\xa9", b"\xf0\x9f", b"\xff"),
    ]
)


def _read(*chunks: bytes) -> tuple[list[Sent], Stream]:
    stream = Stream()
    return [sent for chunk in chunks for sent in stream.feed(chunk)], stream


def _cut(whole: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(at)]


def _written(message: Message, end: str) -> str:
    number, event, lines = message
    fields = [("id", number), ("event", event), *(("data", line) for line in lines)]
    return "".join(f"{name}: {value}{end}" for name, value in fields if value is not None) + end


@given(messages, ends, st.lists(st.integers(0, 10_000), max_size=6))
def test_what_is_sent_is_read_with_any_end_of_line_and_cut_anywhere(
    sent: list[Message], end: str, places: list[int]
) -> None:
    whole = "".join(_written(message, end) for message in sent).encode()
    read, stream = _read(*_cut(whole, places))
    assert read == [Sent(event or "message", "\n".join(lines)) for _, event, lines in sent]
    ids = [number for number, _, _ in sent if number is not None]
    assert stream.last_id == (ids[-1] if ids else "")


@given(st.lists(pieces, max_size=40).map(b"".join), st.lists(st.integers(0, 10_000), max_size=8))
def test_where_any_bytes_are_cut_makes_no_difference(whole: bytes, places: list[int]) -> None:
    at_once, one = _read(whole)
    in_parts, other = _read(*_cut(whole, places))
    byte_by_byte, third = _read(*(bytes([byte]) for byte in whole))
    assert at_once == in_parts == byte_by_byte
    assert (one.last_id, one.retry) == (other.last_id, other.retry) == (third.last_id, third.retry)


@given(st.lists(pieces, max_size=40).map(b"".join))
def test_an_end_of_line_is_as_good_as_another(whole: bytes) -> None:
    lines = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert _read(whole)[0] == _read(lines)[0] == _read(lines.replace(b"\n", b"\r\n"))[0]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        # The standard's own examples.
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Sent("message", "YHOO\n+2\n10")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            [Sent("message", "first event"), Sent("message", "second event")],
        ),
        (b"data\n\ndata\ndata\n\ndata:\n", [Sent("message", ""), Sent("message", "\n")]),
        (b"data:test\n\ndata: test\n\n", [Sent("message", "test"), Sent("message", "test")]),
        # What a stream may hold besides.
        (b"\xef\xbb\xbfdata: x\n\n", [Sent("message", "x")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
        (b"event: a\n\ndata: x\n\n", [Sent("message", "x")]),
        (b"Data: x\ndata : x\nnonsense\n\n", []),
        (b"data: a:b: c\n\n", [Sent("message", "a:b: c")]),
        (b"data: \xff\n\n", [Sent("message", "\ufffd")]),
        ("data: x\u2028y\n\n".encode(), [Sent("message", "x\u2028y")]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, expected: list[Sent]) -> None:
    assert _read(stream)[0] == expected


@pytest.mark.parametrize(
    ("stream", "last_id"),
    [
        (b"id: 1\ndata: x\n\n", "1"),
        (b"id: 1\n\n", "1"),
        (b"id: 1\n\n: ping\n\ndata: x\n\n", "1"),
        (b"id: 1\n\nid: 2\ndata: x\n", "1"),
        (b"id: 1\n\nid: 2\0\n\n", "1"),
        (b"id: 1\n\nid\n\n", ""),
        (b"id: 1\n\nid: \xc3\xa9 \n\n", "é "),
    ],
)
def test_the_position_is_that_of_the_last_message_that_was_complete(stream: bytes, last_id: str) -> None:
    assert _read(stream)[1].last_id == last_id


@pytest.mark.parametrize(
    ("value", "retry"),
    [(b"1500", 1500), (b"0", 0), (b"", None), (b"1.5", None), (b"-1", None), (b"\xd9\xa3", None), (b"9" * 5_000, None)],
)
def test_a_time_to_wait_is_digits_alone(value: bytes, retry: int | None) -> None:
    assert _read(b"retry: " + value + b"\n")[1].retry == retry


def test_a_message_is_known_before_the_line_feed_that_may_follow_its_carriage_return() -> None:
    stream = Stream()
    assert stream.feed(b"data: x\r\n\r") == [Sent("message", "x")]
    assert stream.feed(b"\ndata: y\r\r") == [Sent("message", "y")]
