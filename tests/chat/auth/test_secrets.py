"""Passwords and secrets."""

import re
import threading
from queue import SimpleQueue

import pytest
from werkzeug.security import check_password_hash

from chat.auth import secrets
from chat.auth.secrets import AT_ONCE, METHOD, WAITING_MAX, Passwords, digest, new_secret
from chat.errors import Problem

QUICK = "pbkdf2:sha256:1"
DEADLINE_S = 20


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> "Slow":
    return Slow(monkeypatch)


class Slow:
    """A hash that takes until it is let go of, and counts how many run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let_go = threading.Semaphore(0)
        self.running = self.most = 0
        self.began: SimpleQueue[str] = SimpleQueue()  # names of the threads, as their turns came
        self.lock = threading.Lock()
        monkeypatch.setattr(secrets, "check_password_hash", self.check)

    def check(self, password_hash: str, password: str) -> bool:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.began.put(threading.current_thread().name)
        assert self.let_go.acquire(timeout=DEADLINE_S)
        with self.lock:
            self.running -= 1
        return True


def test_a_password_matches_its_hash_and_no_other_does() -> None:
    passwords = Passwords(QUICK)
    kept = passwords.hash("correct horse")
    assert kept != passwords.hash("correct horse")
    assert "correct horse" not in kept
    assert passwords.matches(kept, "correct horse")
    assert not passwords.matches(kept, "correct hors")


def test_passwords_are_hashed_by_scrypt() -> None:
    passwords = Passwords()
    kept = passwords.hash("correct horse")
    assert kept.startswith(f"{METHOD}$") and METHOD == "scrypt:32768:8:3"
    assert passwords.matches(kept, "correct horse")


def test_nobodys_hash_is_compared_as_another_and_never_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def check(password_hash: str, password: str) -> bool:
        compared.append(password_hash)
        return check_password_hash(password_hash, password)

    monkeypatch.setattr(secrets, "check_password_hash", check)
    passwords = Passwords(QUICK)
    kept = passwords.hash("correct horse")
    for given in ("", "correct horse", kept):
        assert not passwords.matches("", given)
    assert all(hash.startswith(f"{QUICK}$") and len(hash) >= len(kept) for hash in compared)
    assert len(compared) == 3


def test_two_are_checked_at_once_and_so_many_wait_and_no_more(slow: Slow) -> None:
    passwords = Passwords(QUICK)
    refused: SimpleQueue[Problem] = SimpleQueue()
    matched: SimpleQueue[bool] = SimpleQueue()

    def guess() -> None:
        try:
            matched.put(passwords.matches("x", "y"))
        except Problem as problem:
            refused.put(problem)

    threads = [threading.Thread(target=guess, name=f"guess-{k}") for k in range(AT_ONCE + WAITING_MAX + 5)]
    for thread in threads:
        thread.start()
    problems = [refused.get(timeout=DEADLINE_S) for _ in range(5)]
    for _ in threads:
        slow.let_go.release()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert (matched.qsize(), refused.qsize(), slow.most) == (AT_ONCE + WAITING_MAX, 0, AT_ONCE)
    assert {(problem.status, problem.headers) for problem in problems} == {(503, (("Retry-After", "3"),))}
    assert passwords.matches("x", "y")  # all have left


def test_a_network_that_has_all_places_gives_way_and_another_is_next(slow: Slow) -> None:
    passwords = Passwords(QUICK)
    done: SimpleQueue[str] = SimpleQueue()

    def guess(network: str) -> None:
        try:
            passwords.matches("x", "y", network)
            done.put(network)
        except Problem as problem:
            done.put(f"{network} {problem.status}")

    def start(network: str, count: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=guess, args=(network,), name=network) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads

    threads = start("many", AT_ONCE + WAITING_MAX + 1)
    assert done.get(timeout=DEADLINE_S) == "many 503"  # so all places are taken
    threads += start("other", 1)
    assert done.get(timeout=DEADLINE_S) == "many 503"
    assert [slow.began.get(timeout=DEADLINE_S) for _ in range(AT_ONCE)] == ["many"] * AT_ONCE
    slow.let_go.release()
    assert slow.began.get(timeout=DEADLINE_S) == "other"
    for _ in range(AT_ONCE + WAITING_MAX):
        slow.let_go.release()
    for thread in threads:
        thread.join(DEADLINE_S)


def test_a_secret_tells_its_kind_and_has_256_bits() -> None:
    made = {new_secret(secrets.TOKEN) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"rc_[A-Za-z0-9_-]{43}", secret) for secret in made)


def test_a_digest_is_sha_256_of_whatever_text() -> None:
    assert digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(digest("\ud800é")) == secrets.DIGEST_BYTES
