"""What is remembered of ClientIds: each pair once, at the log index of its post, also when hashes meet."""

from collections.abc import Callable
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.state.client_ids import BUCKETS_MIN, HASH_BYTES, RECORD_BYTES, RECORDS_MAX, ClientIds, hash_of, indexes_of

PAIRS = st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 400).map(str)), max_size=300)


def narrow(user: str, client_id: str) -> bytes:
    """Thirty hashes for all pairs, in one bucket, and parts of one are found in others."""
    digest = blake2b(f"{user} {client_id}".encode(), digest_size=1).digest()
    return bytes(HASH_BYTES - 1) + bytes([digest[0] % 30])


def zeros_and_ones(user: str, client_id: str) -> bytes:
    """Two hashes in each of some buckets, and records that look like others where they meet."""
    return bytes(bit % 2 for bit in blake2b(f"{user} {client_id}".encode(), digest_size=HASH_BYTES).digest())


def filled(count: int, hash_of: Callable[[str, str], bytes] = hash_of) -> ClientIds:
    client_ids = ClientIds(hash_of)
    for index in range(1, count + 1):
        client_ids.find_or_add(hash_of("ann", str(index)), index)
    return client_ids


@pytest.mark.parametrize("hashed", [hash_of, narrow, zeros_and_ones])
@given(pairs=PAIRS, start=st.sampled_from([1, 200, (1 << 40) - 301]))
def test_a_table_is_what_a_dict_by_hash_is(
    hashed: Callable[[str, str], bytes], pairs: list[tuple[str, str]], start: int
) -> None:
    client_ids, model = ClientIds(hashed), dict[bytes, int]()
    for index, (user, client_id) in enumerate(pairs, start):
        hash = hashed(user, client_id)
        assert client_ids.find(hash) == model.get(hash, 0)
        assert client_ids.find_or_add(hash, index) == model.get(hash, 0)
        model.setdefault(hash, index)
    assert len(client_ids) == len(model)
    assert all(client_ids.find(hash) == index for hash, index in model.items())


def test_buckets_are_split_as_the_table_grows_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.state.client_ids.RECORDS_MEAN", 2)
    count = 2 * BUCKETS_MIN * 5
    client_ids = filled(count)
    buckets = client_ids.buckets()
    assert len(buckets) == 5 * BUCKETS_MIN
    assert sum(map(len, buckets)) == RECORD_BYTES * count
    assert max(map(len, buckets)) < 16 * 2 * RECORD_BYTES
    assert all(client_ids.find(hash_of("ann", str(index))) == index for index in range(1, count + 1))
    assert not any(client_ids.find(hash_of("bob", str(index))) for index in range(1, count + 1))
    for bucket in buckets:
        indexes = indexes_of(bucket).tolist()
        assert indexes == sorted(indexes)


def test_a_restored_table_goes_on_as_the_one_it_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.state.client_ids.RECORDS_MEAN", 1)
    for count in (0, 100, BUCKETS_MIN - 1, BUCKETS_MIN, BUCKETS_MIN + 3, 2 * BUCKETS_MIN - 1, 2 * BUCKETS_MIN):
        first, second = filled(count), ClientIds()
        second.restore(first.buckets())
        for index in range(count + 1, count + 500):
            hash = hash_of("ann", str(index))
            assert (first.find_or_add(hash, index), second.find_or_add(hash, index)) == (0, 0)
        assert first.buckets() == second.buckets()
        assert len(first) == len(second)


def test_buckets_that_were_handed_out_do_not_change() -> None:
    client_ids = filled(1000)
    before = client_ids.buckets()
    copy = list(before)
    filled_later = hash_of("ann", "later")
    client_ids.find_or_add(filled_later, 2000)
    assert before == copy
    assert client_ids.buckets() != copy


@pytest.mark.parametrize("hashed", [hash_of, narrow])
def test_what_is_old_is_forgotten_bucket_by_bucket_and_may_come_again(hashed: Callable[[str, str], bytes]) -> None:
    client_ids = filled(1000, hashed)
    there = {hash: client_ids.find(hash) for k in range(1, 1001) if (hash := hashed("ann", str(k)))}
    half = BUCKETS_MIN // 2
    client_ids.forget(10, range(half))
    client_ids.forget(10, range(half, BUCKETS_MIN))
    left = {hash: index for hash, index in there.items() if index > 10}
    assert len(client_ids) == len(left) < len(there)
    assert {hash: index for hash in there if (index := client_ids.find(hash))} == left
    gone = next(hash for hash, index in there.items() if index <= 10)
    assert client_ids.find_or_add(gone, 2000) == 0
    assert client_ids.find(gone) == 2000


def test_the_first_bucket_that_holds_something_old_is_found() -> None:
    client_ids = filled(1000)
    firsts = [int.from_bytes(bucket[7:12], "big") for bucket in client_ids.buckets() if bucket]
    up_to = sorted(firsts)[2]
    found = [number for number in range(BUCKETS_MIN) if client_ids.oldest_bucket(up_to, [number]) is not None]
    assert len(found) == 3
    assert client_ids.oldest_bucket(up_to, range(found[0] + 1, BUCKETS_MIN)) == found[1]
    client_ids.forget(up_to, found)
    assert client_ids.oldest_bucket(up_to, range(BUCKETS_MIN)) is None


def test_hashes_that_were_chosen_to_meet_make_no_bucket_longer_than_it_may_be() -> None:
    client_ids, other = ClientIds(), ClientIds()
    other_hash = hash_of("ann", "innocent")
    client_ids.find_or_add(other_hash, 1)
    place = bytes([other_hash[0] ^ 1])  # another bucket
    hashes = [place + number.to_bytes(7, "big") for number in range(3 * RECORDS_MAX)]
    for index, hash in enumerate(hashes, 2):
        assert client_ids.find_or_add(hash, index) == 0
        assert max(map(len, client_ids._buckets)) <= RECORDS_MAX * RECORD_BYTES
    there = [hash for hash in hashes if client_ids.find(hash)]
    assert there == hashes[-len(there) :]
    assert len(there) >= RECORDS_MAX // 2
    assert len(client_ids) == len(there) + 1
    assert client_ids.find(other_hash) == 1
    other.restore(client_ids.buckets())
    assert len(other) == len(client_ids)
