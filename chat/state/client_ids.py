"""The ClientIds seen: each (User, ClientId) pair that made a post, and its log index, in twelve bytes.

A hash table of `bytes`: a bucket is the records of the pairs that fall in it, run together.  A record is seven bytes
of the pair's hash and five of the log index, so looking up is one `find` and adding one concatenation, at C speed.
With every RECORDS_MEAN records that are added one bucket is split in two (Litwin's linear hashing, 1980): the table
never stops to be built anew, and what a step costs does not grow with it.

Rules.  The table is a function of what was added and forgotten and in which order, the same on every node; a bucket
holds its records in the order of the log.
Only hashes of 64 bits are kept: two pairs are taken for one once in some 370,000 logs of ten million posts.  Every
node then makes the same mistake, and `chat/services/proposals.py` compares what was posted before it answers: so the
client learns of it.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import compress

HASH_BYTES = 8  # of which the first chooses among the first buckets, and the others are in the record
_KEY_BYTES = 7
_INDEX_BYTES = 5  # enough for ten thousand entries a second, day and night, for three and a half years
RECORD_BYTES = _KEY_BYTES + _INDEX_BYTES

# A bucket has between one and two KB.  Smaller ones are Python's own small objects, which grow from one size to the
# next: measured with a million records, that takes 5 bytes a record more.  Larger ones take longer to copy.
RECORDS_MEAN = 96
BUCKETS_MIN = 256
# Chance makes no bucket three times as long as the mean.  A client that looks for ClientIds whose hashes meet could
# make one so long that each of its posts took milliseconds; it makes the oldest of that one bucket be forgotten.
RECORDS_MAX = 4096


def hash_of(user: str, client_id: str) -> bytes:
    """HASH_BYTES that stand for the pair."""
    # A name has no NUL, so no two pairs run together alike.
    return blake2b(f"{user}\0{client_id}".encode(), digest_size=HASH_BYTES).digest()


class ClientIds:
    """The table.  For one thread at a time."""

    def __init__(self, hash_of: Callable[[str, str], bytes] = hash_of) -> None:
        """`hash_of` is another one only where a test wants hashes to meet."""
        self.hash_of = hash_of
        self._buckets = [b""] * BUCKETS_MIN
        self._half = BUCKETS_MIN  # the power of two up to which all buckets were there before the splitting under way
        self._count = 0

    def __len__(self) -> int:
        """The number of pairs."""
        return self._count

    def find(self, hash: bytes) -> int:
        """The log index that was remembered with this hash; 0 for none."""
        return _find(self._buckets[self._number(hash)], hash[1:])

    def find_or_add(self, hash: bytes, log_index: int) -> int:
        """Find as `find` does; otherwise remember this log index, the highest so far, with the hash."""
        number, key = self._number(hash), hash[1:]
        bucket = self._buckets[number]
        if found := _find(bucket, key):
            return found
        if len(bucket) >= RECORDS_MAX * RECORD_BYTES:
            bucket = bucket[RECORDS_MAX // 2 * RECORD_BYTES :]
            self._count -= RECORDS_MAX // 2
        self._buckets[number] = bucket + (key + log_index.to_bytes(_INDEX_BYTES, "big"))
        self._count += 1
        if self._count > RECORDS_MEAN * len(self._buckets):
            self._split()
        return 0

    @property
    def bucket_count(self) -> int:
        """The number of buckets; each is known by a number below that."""
        return len(self._buckets)

    def oldest_bucket(self, up_to: int, numbers: Iterable[int]) -> int | None:
        """The first of these buckets that holds a log index up to this one."""
        buckets = self._buckets
        return next((number for number in numbers if buckets[number] and _index_at(buckets[number], 0) <= up_to), None)

    def forget(self, up_to: int, numbers: Iterable[int]) -> None:
        """Forget the log indexes up to this one in the buckets of these numbers."""
        for number in numbers:
            bucket = self._buckets[number]
            if gone := _records_up_to(bucket, up_to):
                self._buckets[number] = bucket[gone * RECORD_BYTES :]
                self._count -= gone

    def buckets(self) -> list[bytes]:
        """Copy the table as `restore` takes it; the copy costs eight bytes a bucket."""
        return self._buckets.copy()

    def restore(self, buckets: list[bytes]) -> None:
        """Be the table that gave these buckets."""
        self._buckets = buckets
        self._half = 1 << len(buckets).bit_length() - 1
        self._count = sum(map(len, buckets)) // RECORD_BYTES

    def _number(self, hash: bytes) -> int:
        number = int.from_bytes(hash, "little") & 2 * self._half - 1
        return number if number < len(self._buckets) else number - self._half

    def _split(self) -> None:
        """Divide the next bucket by the next bit of its records' hashes: where it is set, they move to a new one."""
        number = len(self._buckets) - self._half
        bucket = self._buckets[number]
        byte, bit = divmod((self._half // BUCKETS_MIN).bit_length() - 1, 8)
        moves = [flags >> bit & 1 for flags in bucket[byte::RECORD_BYTES]]
        records = [bucket[at : at + RECORD_BYTES] for at in range(0, len(bucket), RECORD_BYTES)]
        self._buckets.append(b"".join(compress(records, moves)))
        self._buckets[number] = b"".join(compress(records, [not moved for moved in moves]))
        if len(self._buckets) == 2 * self._half:
            self._half *= 2


def _find(bucket: bytes, key: bytes) -> int:
    at = bucket.find(key)
    while at % RECORD_BYTES and at > 0:  # it begins in one record and ends in the next, or is part of an index
        at = bucket.find(key, at + 1)
    return 0 if at < 0 else _index_at(bucket, at)


def _records_up_to(bucket: bytes, up_to: int) -> int:
    """The number of records with a log index up to this one: in a bucket they ascend."""
    if not bucket or _index_at(bucket, 0) > up_to:  # as in most of them
        return 0
    return bisect_right(range(len(bucket) // RECORD_BYTES), up_to, key=lambda at: _index_at(bucket, at * RECORD_BYTES))


def _index_at(bucket: bytes, at: int) -> int:
    return int.from_bytes(bucket[at + _KEY_BYTES : at + RECORD_BYTES], "big")


def indexes_of(records: bytes) -> "array[int]":
    """The log indexes of records that run together."""
    wide = bytearray(8 * (len(records) // RECORD_BYTES))
    for at in range(_INDEX_BYTES):
        wide[8 - _INDEX_BYTES + at :: 8] = records[_KEY_BYTES + at :: RECORD_BYTES]
    indexes = array("Q", bytes(wide))
    if sys.byteorder == "little":
        indexes.byteswap()
    return indexes
