"""What is remembered of ClientIds: each pair once, at the log index of its post, also when hashes meet."""

from collections.abc import Callable
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.state.client_ids import BUCKETS_MIN, HASH_BYTES, RECORD_BYTES, RECORDS_MAX, Remembered, hash_of, indexes_of

PAIRS = st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 400).map(str)), max_size=300)


def narrow(user: str, client_id: str) -> bytes:
    """Thirty hashes for all pairs, in one bucket, and parts of one are found in others."""
    digest = blake2b(f"{user} {client_id}".encode(), digest_size=1).digest()
    return bytes(HASH_BYTES - 1) + bytes([digest[0] % 30])


def zeros_and_ones(user: str, client_id: str) -> bytes:
    """Two hashes in each of some buckets, and records that look like others where they meet."""
    return bytes(bit % 2 for bit in blake2b(f"{user} {client_id}".encode(), digest_size=HASH_BYTES).digest())


def filled(count: int, hash_of: Callable[[str, str], bytes] = hash_of) -> Remembered:
    remembered = Remembered(hash_of)
    for index in range(1, count + 1):
        remembered.admit(hash_of("ann", str(index)), index)
    return remembered


@pytest.mark.parametrize("hashed", [hash_of, narrow, zeros_and_ones])
@given(pairs=PAIRS, start=st.sampled_from([1, 200, (1 << 40) - 301]))
def test_a_table_is_what_a_dict_by_hash_is(
    hashed: Callable[[str, str], bytes], pairs: list[tuple[str, str]], start: int
) -> None:
    remembered, model = Remembered(hashed), dict[bytes, int]()
    for index, (user, client_id) in enumerate(pairs, start):
        hash = hashed(user, client_id)
        assert remembered.find(hash) == model.get(hash, 0)
        assert remembered.admit(hash, index) == model.get(hash, 0)
        model.setdefault(hash, index)
    assert len(remembered) == len(model)
    assert all(remembered.find(hash) == index for hash, index in model.items())


def test_buckets_are_split_as_the_table_grows_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.state.client_ids.RECORDS_MEAN", 2)
    count = 2 * BUCKETS_MIN * 5
    remembered = filled(count)
    buckets = remembered.buckets()
    assert len(buckets) == 5 * BUCKETS_MIN
    assert sum(map(len, buckets)) == RECORD_BYTES * count
    assert max(map(len, buckets)) < 16 * 2 * RECORD_BYTES
    assert all(remembered.find(hash_of("ann", str(index))) == index for index in range(1, count + 1))
    assert not any(remembered.find(hash_of("bob", str(index))) for index in range(1, count + 1))
    for bucket in buckets:
        indexes = indexes_of(bucket).tolist()
        assert indexes == sorted(indexes)


def test_a_restored_table_goes_on_as_the_one_it_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.state.client_ids.RECORDS_MEAN", 1)
    for count in (0, 100, BUCKETS_MIN - 1, BUCKETS_MIN, BUCKETS_MIN + 3, 2 * BUCKETS_MIN - 1, 2 * BUCKETS_MIN):
        first, second = filled(count), Remembered()
        second.restore(first.buckets())
        for index in range(count + 1, count + 500):
            hash = hash_of("ann", str(index))
            assert (first.admit(hash, index), second.admit(hash, index)) == (0, 0)
        assert first.buckets() == second.buckets()
        assert len(first) == len(second)


def test_buckets_that_were_handed_out_do_not_change() -> None:
    remembered = filled(1000)
    before = remembered.buckets()
    copy = list(before)
    filled_later = hash_of("ann", "later")
    remembered.admit(filled_later, 2000)
    assert before == copy
    assert remembered.buckets() != copy


@pytest.mark.parametrize("hashed", [hash_of, narrow])
def test_what_is_old_is_forgotten_bucket_by_bucket_and_may_come_again(hashed: Callable[[str, str], bytes]) -> None:
    remembered = filled(1000, hashed)
    there = {hash: remembered.find(hash) for k in range(1, 1001) if (hash := hashed("ann", str(k)))}
    half = BUCKETS_MIN // 2
    remembered.forget(10, range(half))
    remembered.forget(10, range(half, BUCKETS_MIN))
    left = {hash: index for hash, index in there.items() if index > 10}
    assert len(remembered) == len(left) < len(there)
    assert {hash: index for hash in there if (index := remembered.find(hash))} == left
    gone = next(hash for hash, index in there.items() if index <= 10)
    assert remembered.admit(gone, 2000) == 0
    assert remembered.find(gone) == 2000


def test_the_first_bucket_that_holds_something_old_is_found() -> None:
    remembered = filled(1000)
    firsts = [int.from_bytes(bucket[7:12], "big") for bucket in remembered.buckets() if bucket]
    up_to = sorted(firsts)[2]
    found = [number for number in range(BUCKETS_MIN) if remembered.oldest_bucket(up_to, [number]) is not None]
    assert len(found) == 3
    assert remembered.oldest_bucket(up_to, range(found[0] + 1, BUCKETS_MIN)) == found[1]
    remembered.forget(up_to, found)
    assert remembered.oldest_bucket(up_to, range(BUCKETS_MIN)) is None


def test_hashes_that_were_chosen_to_meet_make_no_bucket_longer_than_it_may_be() -> None:
    remembered, other = Remembered(), Remembered()
    other_hash = hash_of("ann", "innocent")
    remembered.admit(other_hash, 1)
    place = bytes([other_hash[0] ^ 1])  # another bucket
    hashes = [place + number.to_bytes(7, "big") for number in range(3 * RECORDS_MAX)]
    for index, hash in enumerate(hashes, 2):
        assert remembered.admit(hash, index) == 0
        assert max(map(len, remembered._buckets)) <= RECORDS_MAX * RECORD_BYTES
    there = [hash for hash in hashes if remembered.find(hash)]
    assert there == hashes[-len(there) :]
    assert len(there) >= RECORDS_MAX // 2
    assert len(remembered) == len(there) + 1
    assert remembered.find(other_hash) == 1
    other.restore(remembered.buckets())
    assert len(other) == len(remembered)
