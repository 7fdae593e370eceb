"""Frames are read as wsproto reads them, however the bytes are cut; what is written, wsproto reads."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from chat.realtime import frames as own
from chat.realtime.frames import (
    FRAGMENTS_MAX,
    PING,
    Close,
    Fragment,
    FrameReader,
    Received,
    close_frame,
    server_frame,
    text_frame,
    unmasked,
)
from tests.support.websocket_frames import client_frame

LIMIT = 64 * 1024
MASK = b"\1\2\3\4"

Told = tuple[str, object]


def frame(first: int, payload: bytes, mask: bytes = MASK) -> bytes:
    return client_frame(payload, first, mask)


def read(frames: FrameReader, data: bytes) -> list[Received]:
    """All that is said by these bytes and those before them."""
    frames.feed(data)
    received: list[Received] = []
    while (one := frames.next()) is not None:
        received.append(one)
        if isinstance(one, Close):
            break
    return received


def told(received: list[Received]) -> list[Told]:
    """What it comes to: whole messages, pings, and how it ends."""
    found: list[Told] = []
    for one in received:
        match one:
            case str():
                found.append(("text", one))
            case own.Ping():
                found.append(("ping", one.payload))
            case Close():
                return [*found, ("close", one.code)]
            case _:
                assert isinstance(one, own.Pong | Fragment)
    return found


def by_wsproto(data: bytes, side: ConnectionType = ConnectionType.SERVER) -> list[Told]:
    """The same as wsproto tells it.  Bytes are refused with 1003: this server takes text only."""
    protocol = Connection(side)
    protocol.receive_data(data)
    found: list[Told] = []
    pieces = ""
    for one in protocol.events():
        match one:
            case TextMessage():
                pieces += one.data
                if one.message_finished:
                    found.append(("text", pieces))
                    pieces = ""
            case BytesMessage():
                return [*found, ("close", 1003)]
            case Ping():
                found.append(("ping", bytes(one.payload)))
            case CloseConnection():
                return [*found, ("close", int(one.code))]
            case _:
                assert isinstance(one, Pong)
    return found


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


usual = st.builds(frame, st.just(0x81), st.text(max_size=200).map(str.encode), st.binary(min_size=4, max_size=4))
pongs = st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125))
anything = st.builds(frame, st.integers(0, 255), st.binary(max_size=130))
unmasked_frames = st.binary(max_size=125).map(lambda payload: bytes([0x81, len(payload)]) + payload)
fragments = st.tuples(st.text(), st.text()).map(
    lambda texts: frame(0x01, texts[0].encode()) + frame(0x89, b"?") + frame(0x80, texts[1].encode())
)

# Fragments that may be in any order, with a code point cut in two; close frames with any code.
pieces = st.builds(
    frame,
    st.sampled_from([0x01, 0x00, 0x80]),
    st.sampled_from([b"", b"a", b"\xc3", b"\xa9", b"\xed\xa0", "é".encode()]),
)
closings = st.builds(
    lambda code, rest: frame(0x88, struct.pack("!H", code) + rest),
    st.sampled_from([0, 999, *range(1000, 1017), 2999, 3000, 4999, 5000, 65535]),
    st.sampled_from([b"", b"bye", b"\xff"]),
)
any_frame = usual | pongs | usual | fragments | pieces | closings | anything | unmasked_frames


@given(
    st.lists(usual | pongs | usual | fragments | pieces | closings | anything | unmasked_frames, max_size=6).map(
        b"".join
    ),
    st.lists(st.integers(1, 80), max_size=12),
)
@example(frame(0x81, b"one") + frame(0x88, b"\x03\xe8") + frame(0x81, b"two"), [1])
@example(frame(0x81, b"one") + frame(0x81, b"\xc3\x28") + frame(0x81, b"two"), [])
@example(b"\x81\xfe\x00\x05" + MASK + bytes(5), [3])  # a length told in more bytes than it takes
@example(frame(0x89, b"x" * 126), [])
@example(frame(0x88, b"\x03"), [])
@example(frame(0x01, b"\xc3") + frame(0x8A, b"") + frame(0x80, b"\xa9") + frame(0x81, b"more"), [1, 2, 3])
@example(frame(0x01, b"\xc3") + frame(0x80, b""), [])
@example(b"\x81\xff" + (200).to_bytes(8) + MASK + bytes(200), [])
def test_frames_are_read_as_wsproto_reads_them_however_they_are_cut(data: bytes, sizes: list[int]) -> None:
    frames = FrameReader(LIMIT)
    said: list[Received] = []
    for piece in pieces_of(data, sizes):
        said += read(frames, piece)
        if said and isinstance(said[-1], Close):
            break
    assert told(said) == by_wsproto(data)


def test_a_message_is_told_when_its_last_byte_has_come() -> None:
    frames = FrameReader(LIMIT)
    data = frame(0x81, "é".encode() * 200)
    for byte in data[:-1]:
        assert read(frames, bytes([byte])) == []
    assert read(frames, data[-1:] + frame(0x81, b"next")) == ["é" * 200, "next"]


@pytest.mark.parametrize("first", [0x81, 0x01, 0x82])
@pytest.mark.parametrize("size", [1001, 1 << 62])
def test_a_header_that_announces_too_much_is_refused_before_a_byte_of_its_payload(first: int, size: int) -> None:
    header = struct.pack("!BBQ", first, 0xFF, size)
    for before in (b"", frame(0x01, b"a fragment")):
        frames = FrameReader(1000)
        said = read(frames, before + header[:5])
        said += read(frames, header[5:])
        assert said[-1] == Close(1009, "at most 1000 bytes")


def test_a_bound_holds_for_the_frames_that_were_fed_and_not_read_yet() -> None:
    frames = FrameReader(100)
    frames.feed(frame(0x81, b"in") + frame(0x81, b"x" * 200) + frame(0x81, b"x" * 201))
    assert frames.next() == "in"
    frames.bytes_max = 200
    assert frames.next() == "x" * 200
    assert isinstance(frames.next(), Close)


def test_a_frame_of_the_longest_message_is_read() -> None:
    frames = FrameReader(1000)
    assert read(frames, frame(0x81, b"x" * 1000)) == ["x" * 1000]
    assert read(frames, frame(0x01, b"x" * 1000)) == [Fragment()]
    assert closes(read(frames, frame(0x80, b"x")))


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_message_has_a_bounded_number_of_fragments(payload: bytes) -> None:
    frames = FrameReader(LIMIT)
    assert not closes(read(frames, frame(0x01, payload)))
    assert not closes(
        read(frames, frame(0x00, payload) * (FRAGMENTS_MAX - 2) + frame(0x89, b"?") + frame(0x80, payload))
    )
    assert not closes(read(frames, frame(0x01, payload) + frame(0x00, payload) * (FRAGMENTS_MAX - 1)))
    assert closes(read(frames, frame(0x00, payload)))


def closes(said: list[Received]) -> bool:
    return any(isinstance(one, Close) for one in said)


def test_a_close_is_the_last_thing_that_is_said() -> None:
    said = read(FrameReader(LIMIT), frame(0x81, b"bye") + frame(0x88, b"\x03\xe8so long") + frame(0x81, b"more"))
    assert said == ["bye", Close(1000, "")]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_a_mask_is_taken_off_byte_by_byte(payload: bytes, mask: bytes) -> None:
    assert unmasked(mask, payload) == bytes(byte ^ mask[k % 4] for k, byte in enumerate(payload))


@given(st.text(max_size=70_000) | st.integers(0, 70_000).map(lambda size: "x" * size))
def test_wsproto_reads_what_is_written(text: str) -> None:
    data = text_frame(text.encode()) + server_frame(PING, b"?") + close_frame(1013, "a reason " * 20)
    assert by_wsproto(data, ConnectionType.CLIENT) == [("text", text), ("ping", b"?"), ("close", 1013)]


def test_a_close_frame_may_have_no_code() -> None:
    assert by_wsproto(close_frame(1005, ""), ConnectionType.CLIENT) == [("close", 1005)]
