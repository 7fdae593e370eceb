"""The rules for what clients send."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.errors import Problem
from chat.services import validation


def problem_in(field: str, check: object, *arguments: object) -> bool:
    """Whether the check refuses, with a 400 that names the field."""
    assert callable(check)
    with pytest.raises(Problem) as caught:
        check(field, *arguments)
    return caught.value.status == 400 and caught.value.detail.startswith(f"{field}:")


@pytest.mark.parametrize(
    "name", ["a", "general", "a/b", "...", "é", "日本", "👩‍💻", "a b", "%", "x" * 64, "\U0001f600" * 64, "؀"]
)
def test_a_name_may_have_any_character_that_shows_itself(name: str) -> None:
    assert validation.name("User", name) == name


@pytest.mark.parametrize(
    "point",
    [0, 0x1F, 0x7F, 0x85, 0x9F, 0x61C, 0x200E, 0x200F, 0x202A, 0x202E, 0x2066, 0x2069, 0xD800, 0xDFFF],
)
def test_a_name_has_no_control_no_bidi_control_and_no_surrogate(point: int) -> None:
    assert problem_in("User", validation.name, f"a{chr(point)}b")


@pytest.mark.parametrize(
    "name", [" ", " a", "a\u3000", "a\u200bb", "\ufeffa", "a\u00adb", "\u200d", "\u2800", "a\u2060"]
)
def test_a_name_has_no_space_at_its_ends_and_nothing_invisible(name: str) -> None:
    assert problem_in("RoomName", validation.name, name)


@pytest.mark.parametrize("emoji", ["\ufe0f", "\u200d", "\u2800", "\u200d\ufe0f", "\u3164", "\U000e0020"])
def test_a_reaction_shows_something(emoji: str) -> None:
    assert problem_in("Emoji", validation.emoji, emoji)


@pytest.mark.parametrize("emoji", ["👍", "❤", "1\u20e3", "👨\u200d👩\u200d👧", "é", "+1"])
def test_a_reaction_is_the_same_with_and_without_variation_selectors(emoji: str) -> None:
    assert validation.emoji("Emoji", emoji) == emoji
    assert validation.emoji("Emoji", emoji + "\ufe0f") == emoji


def test_an_object_has_at_most_256_members_at_any_depth() -> None:
    def body(count: int) -> bytes:
        return b"{%b}" % b",".join(b'"m%d":%d' % (n, n) for n in range(count))

    assert len(validation.json_object(body(256))) == 256
    for data in (body(257), b'{"Post":[%b]}' % body(257)):
        with pytest.raises(Problem, match="257 members"):
            validation.json_object(data)


def test_a_byte_order_mark_before_a_body_is_ignored() -> None:
    assert validation.json_object(b'\xef\xbb\xbf{"Message":"hi"}') == {"Message": "hi"}


@pytest.mark.parametrize("name", ["", "x" * 65, ".", "..", None, 7, ["a"]])
def test_a_name_has_1_to_64_code_points_and_is_no_dots(name: object) -> None:
    assert problem_in("RoomName", validation.name, name)


@given(st.text())
def test_a_name_is_refused_or_comes_back_in_nfc(text: str) -> None:
    try:
        name = validation.name("User", text)
    except Problem:
        return
    assert name == unicodedata.normalize("NFC", text)
    assert validation.name("User", name) == name
    name.encode()


def test_a_name_is_measured_as_sent_and_in_nfc() -> None:
    longer = "\U0001d160"  # three code points in NFC
    assert validation.name("User", longer * 21) == unicodedata.normalize("NFC", longer) * 21
    assert problem_in("User", validation.name, longer * 22)
    assert problem_in("User", validation.name, "e\u0301" * 33)


def test_a_user_is_not_called_what_a_mention_would_mean_otherwise() -> None:
    assert validation.user_name("Name", "rooms") == "rooms"
    assert validation.user_name("Name", "a@b") == "a@b"
    for wrong in ("room", "@ann", "", "a\n", None):
        assert problem_in("Name", validation.user_name, wrong)


def test_a_label_has_up_to_64_code_points_and_may_be_empty() -> None:
    assert validation.label("Label", "") == ""
    assert validation.label("Label", "e\u0301 " * 21) == "é " * 21
    for wrong in ("x" * 65, "a\u202eb", "\ud800", 7):
        assert problem_in("Label", validation.label, wrong)
    assert problem_in("DisplayName", validation.label, "", 1)


def test_a_password_has_8_to_256_code_points_and_is_the_same_however_it_was_typed() -> None:
    assert validation.password("Password", "\u202ee\u0301\u00a0\u3000horse") == "\u202eé  horse"
    assert validation.password("Password", "\U0001f600" * 256) == "\U0001f600" * 256
    wrongs: list[object] = [
        "1234567",
        "é" * 257,
        "longenough\n",
        "longenough\ud800",
        "a" + "\u0301\u0316" * 20,
        None,
        12345678,
    ]
    for wrong in wrongs:
        assert problem_in("Password", validation.password, wrong)


def test_a_message_has_1_to_8000_code_points_of_any_kind() -> None:
    assert validation.message("Message", "\0\n\u202ex") == "\0\n\u202ex"
    assert validation.message("Message", "é" * 8_000) == "é" * 8_000
    assert validation.message("Message", "e\u0301") == "é"
    wrongs: list[object] = ["", "é" * 8_001, "a\ud800", None, 1.5, {}]
    for wrong in wrongs:
        assert problem_in("Message", validation.message, wrong)


@pytest.mark.parametrize(
    "text", [" ", "\n\t", "\ufe0f", "\u200d", "\u2800", "\u200b\u200c", "\u3164", "\x01", "\u00ad \U000e0041", "\ufeff"]
)
def test_what_shows_nothing_is_no_message_topic_label_name_or_reaction(text: str) -> None:
    for check in (validation.message, validation.topic, validation.label, validation.name, validation.emoji):
        with pytest.raises(Problem):
            check("Field", text * 30)
    shown = f"a{text}b"
    assert validation.message("Message", shown) == shown


def test_marks_that_would_take_long_to_sort_are_refused() -> None:
    assert problem_in("Message", validation.message, "a" + "\u0301\u0316" * 3_999)
    sorted_already = "b" + "\u0301" * 7_999
    assert validation.message("Message", sorted_already) == sorted_already


def test_a_client_id_is_kept_as_it_is() -> None:
    assert validation.client_id("ClientId", "e\u0301") == "e\u0301"
    for wrong in ("", "x" * 129, "a\0", "\ud800", 5, None):
        assert problem_in("ClientId", validation.client_id, wrong)


def test_a_post_id_is_a_whole_number_from_1() -> None:
    assert validation.post_id("ReplyTo", 1) == 1
    for wrong in (0, -1, True, 1.0, "1", None, 2**53):
        assert problem_in("ReplyTo", validation.post_id, wrong)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1_0", " 1", "1 ", "٣", "1.0", "0x1", "9" * 17, "11"])
def test_a_number_is_decimal_digits_within_its_bounds(text: str) -> None:
    assert problem_in("limit", validation.integer, text, 1, 10)


@pytest.mark.parametrize(
    "body",
    [b"http://127.0.0.1:42379", b"http://node.example:1/", b" http://[::1]:42379\n", b"http://a-b:65535"],
)
def test_a_peer_url_is_scheme_host_and_port(body: bytes) -> None:
    assert validation.peer_url("Url", body) == body.decode().strip().removesuffix("/")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"node", b"ftp://a:1", b"https://a:1", b"http://a", b"http://:1", b"http://a:0", b"http://a:65536", b"http://a:x",
        b"http://a:1/x",
        b"http://a:1?x", b"http://a:1#", b"http://u@a:1", b"http://a\n:1", b"http://a b:1", b"http://[::1:1", b"http://\xff:1",
        b"http://" + b"a" * 300 + b":1", b'http://a":1',
    ],
)  # fmt: skip
def test_anything_else_is_no_peer_url(body: bytes) -> None:
    assert problem_in("Url", validation.peer_url, body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"hello", b"[]", b"7", b"null", b'"a"', b"{", b"{'a':1}", b'{"a":1}x', b'{"a":NaN}', b'{"a":-Infinity}',
        b'{"a":1,"a":2}', b'{"b":{"a":1,"a":2}}', b'{"a":"\xff"}', '{"a":1}'.encode("utf-16"),
        b'{"a":"\n"}', b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 5_000 + b"}",
    ],
)  # fmt: skip
def test_a_body_is_one_json_object_strictly(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        validation.json_object(body)
    assert caught.value.status == 400
    assert caught.value.detail.startswith("body:")


def test_members_are_found_whatever_their_case_and_once() -> None:
    assert validation.members({"MESSAGE": 1, "clientId": 2}) == {"message": 1, "clientid": 2}
    with pytest.raises(Problem, match=r"^Message: "):
        validation.members({"Message": 1, "message": 1})
