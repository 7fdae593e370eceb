"""`raft-chat backup`: transfers that break, resume and begin anew, and the service with --every."""

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chat.cli.backups import backup, transfer
from chat.cli.backups.tools import BackupTools
from chat.cli.node_client import CommandFailed
from raft.backup.backup_file import BackupCheck, decode_header, encode_header, header_of
from raft.backup.writer import write_backup
from tests.raft.compaction.test_compactor import DISK, some_log, store
from tests.raft.words import Words

TOOLS = BackupTools(BackupCheck, header_of, *[lambda *_: None] * 3)  # type: ignore[arg-type]


class Server:
    """A node that answers GET /backup as its script says: one item for each request, the last one again and again."""

    def __init__(self, script: list[Callable[["Server", Any], None]]) -> None:
        self.script = script
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                step = server.script[min(len(server.asked), len(server.script) - 1)]
                server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                step(server, self)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @contextmanager
    def running(self) -> Iterator["Server"]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def sends(
    data: bytes, tag: str = "7-aa", upto: int | None = None, first: int = 0
) -> Callable[[Server, BaseHTTPRequestHandler], None]:
    """Answer with a backup, from byte `first` on; break off before byte `upto`."""

    def answer(_: Server, request: BaseHTTPRequestHandler) -> None:
        request.send_response(206 if first else 200)
        request.send_header("ETag", f'"{tag}"')
        request.send_header("Content-Length", str(len(data) - first))
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        request.wfile.write(data[first:upto])

    return answer


def refuses(status: int, code: str, **members: object) -> Callable[[Server, BaseHTTPRequestHandler], None]:
    def answer(_: Server, request: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"code": code, "detail": f"{code} in words", **members}).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("log")
    store(directory, some_log())
    write_backup(DISK, directory, directory / "b", 60, Words(), program="1", made_at="2026-11-30T22:00:00Z")
    return (directory / "b").read_bytes()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "RETRY_S", 0.0)
    monkeypatch.setattr("os.nice", lambda _: 0)


def run(server: Server, output: Path | str, *more: str, urls: str = "") -> int:
    return backup.main(["--from", urls or server.url, "--output", str(output), *more], {}, TOOLS)


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_transfer_that_breaks_goes_on_where_it_broke(tmp_path: Path, content: bytes) -> None:
    with Server(
        [sends(content, upto=500), sends(content, first=500, upto=900), sends(content, first=900)]
    ).running() as node:
        assert run(node, tmp_path / "b") == 0
    assert (tmp_path / "b").read_bytes() == content
    assert left(tmp_path) == ["b"]
    assert [headers.get("range") for _, headers in node.asked] == [None, "bytes=500-", "bytes=900-"]
    assert {headers.get("if-range") for _, headers in node.asked[1:]} == {'"7-aa"'}


def test_a_later_run_goes_on_with_what_an_earlier_one_got(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server([sends(content, upto=500), refuses(503, "unavailable")]).running() as node:
        with pytest.raises(CommandFailed, match="unavailable in words"):
            run(node, tmp_path / "b")
        assert left(tmp_path) == ["b.part", "b.part.json"]
        node.script.append(sends(content, first=500))
        node.asked.append(("", {}))
        assert run(node, tmp_path / "b") == 0
    assert (tmp_path / "b").read_bytes() == content
    assert "going on after 500 bytes" in capsys.readouterr().err


def test_another_backup_begins_anew_and_that_is_said(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server([sends(content, upto=500), sends(content, "8-bb")]).running() as node:
        assert run(node, tmp_path / "b") == 0
    assert (tmp_path / "b").read_bytes() == content
    assert "another backup: beginning anew" in capsys.readouterr().err


def test_a_transfer_goes_on_at_another_node_from_the_beginning_once_its_node_is_gone(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        Server([sends(content, upto=500), refuses(503, "unavailable")]).running() as first,
        Server([sends(content, "9-cc")]).running() as second,
    ):
        assert run(first, tmp_path / "b", urls=f"{first.url},{second.url}") == 0
    assert (tmp_path / "b").read_bytes() == content
    assert "does not answer any more: asking the others" in capsys.readouterr().err


def test_a_part_of_a_node_that_is_not_named_is_not_asked_for_there(tmp_path: Path, content: bytes) -> None:
    with Server([sends(content)]).running() as other, Server([sends(content, "9-cc")]).running() as named:
        (tmp_path / "b.part").write_bytes(content[:500])
        (tmp_path / "b.part.json").write_text(json.dumps({"Url": other.url, "Tag": "7-aa"}))
        assert run(named, tmp_path / "b", "--token", "secret") == 0
        assert other.asked == []
        assert "range" not in named.asked[0][1]
    assert (tmp_path / "b").read_bytes() == content


def test_a_part_that_is_damaged_or_of_nobody_knows_what_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    for part, note in ((b"rubbish\n", '{"Url":"URL","Tag":"7-aa"}'), (content[:300], ""), (content[:300], "no JSON")):
        with Server([sends(content)]).running() as node:
            (tmp_path / "b.part").write_bytes(part)
            (tmp_path / "b.part.json").write_text(note.replace("URL", node.url))
            assert run(node, tmp_path / "b") == 0
        assert (tmp_path / "b").read_bytes() == content
        assert left(tmp_path) == ["b"]


def test_a_backup_that_comes_damaged_is_not_kept(tmp_path: Path, content: bytes) -> None:
    damaged = bytearray(content)
    damaged[700] ^= 1
    with Server([sends(bytes(damaged))]).running() as node, pytest.raises(CommandFailed, match="no sound backup"):
        run(node, tmp_path / "b")
    assert left(tmp_path) == []


def test_a_file_that_was_there_stays_until_the_new_one_is_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").write_text("the one before")
    with Server([sends(content, upto=500), refuses(503, "unavailable")]).running() as node:
        with pytest.raises(CommandFailed):
            run(node, tmp_path / "b")
        assert (tmp_path / "b").read_text() == "the one before"


def test_while_the_node_makes_it_the_command_asks_again_by_the_index(tmp_path: Path, content: bytes) -> None:
    making = refuses(503, "backup_in_progress", Index=60)
    with Server([making, making, sends(content)]).running() as node:
        assert run(node, tmp_path / "b") == 0
    assert [path for path, _ in node.asked] == ["/backup?wait=20", *["/backup?wait=20&index=60"] * 2]


def test_a_node_that_cannot_is_passed_over_and_a_refusal_is_final(tmp_path: Path, content: bytes) -> None:
    with Server([refuses(503, "unavailable")]).running() as first, Server([sends(content)]).running() as second:
        assert run(first, tmp_path / "b", urls=f"http://127.0.0.1:1,{first.url},{second.url}") == 0
    with (
        Server([refuses(403, "forbidden")]).running() as first,
        Server([sends(content)]).running() as second,
        pytest.raises(CommandFailed, match="forbidden in words"),
    ):
        run(first, tmp_path / "c", urls=f"{first.url},{second.url}")
    assert left(tmp_path) == ["b"]


def test_a_directory_keeps_the_newest_and_asks_only_for_what_changed(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in ("01", "02", "03"):
        (tmp_path / f"raft-chat-202610{day}T000000Z-000000000000009.backup").write_bytes(content)
    (tmp_path / "mine").touch()
    with Server([sends(content), refuses(304, "")]).running() as node:
        assert run(node, tmp_path, "--keep", "2") == 0
        new = "raft-chat-20261130T220000Z-000000000000060.backup"
        assert left(tmp_path) == ["mine", "raft-chat-20261003T000000Z-000000000000009.backup", new]
        assert node.asked[0][1]["if-none-match"] == 'W/"aa-60"'
        assert run(node, tmp_path, "--keep", "2") == 0
    assert f"nothing has changed since {tmp_path / new}" in capsys.readouterr().out
    assert len(left(tmp_path)) == 3


def test_a_clock_that_was_set_back_makes_no_new_backup_the_oldest(tmp_path: Path, content: bytes) -> None:
    """Of one cluster the higher index is the newer backup, whatever the times in their names."""
    third, fifth = (put(tmp_path, content, f"2027010{index}T000000Z", index) for index in (3, 5))
    put(tmp_path, content, "20280101T000000Z", 61, cluster_id="another")
    new = "raft-chat-20261130T220000Z-000000000000060.backup"
    with Server([sends(content)]).running() as node:
        assert run(node, tmp_path, "--keep", "3") == 0
        assert left(tmp_path) == sorted([new, third, fifth])
        assert run(node, tmp_path, "--keep", "1") == 0
        assert node.asked[1][1]["if-none-match"] == 'W/"aa-60"'
    assert left(tmp_path) == [new]


def put(directory: Path, content: bytes, time: str, index: int, cluster_id: str = "aa") -> str:
    """Put a file with the first line of another backup into the directory; its name."""
    name = f"raft-chat-{time}-{index:015}.backup"
    header = replace(decode_header(content[: content.index(b"\n") + 1]), index=index, cluster_id=cluster_id)
    (directory / name).write_bytes(encode_header(header))
    return name


def test_the_service_waits_no_longer_than_its_period_for_a_clock_that_was_set_back(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "raft-chat-20261130T220000Z-000000000000060.backup"
    path.write_bytes(content)
    ahead = path.stat().st_mtime + 86_400 * 365
    os.utime(path, (ahead, ahead))

    class Ended(Exception):
        pass

    waited: list[float] = []

    def wait(_: object, seconds: float) -> None:
        waited.append(seconds)
        raise Ended

    monkeypatch.setattr(backup, "Event", lambda: type("Never", (), {"wait": wait})())
    with pytest.raises(Ended):
        backup.main(["--from", "http://127.0.0.1:1", "--output", str(tmp_path), "--every", "6h"], {}, TOOLS)
    assert waited == [6 * 3600]


def test_the_service_goes_on_after_a_failure(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    class Ended(Exception):
        pass

    def wait(_: object, seconds: float) -> None:
        waited.append(round(seconds))
        if len(waited) == 4:
            raise Ended

    monkeypatch.setattr(backup, "Event", lambda: type("Never", (), {"wait": wait})())
    script = [refuses(503, "unavailable"), sends(content), refuses(304, "")]
    with Server(script).running() as node, pytest.raises(Ended):
        run(node, tmp_path, "--every", "6h")
    # The last two are counted from the backup, so what the runs in between took is missing.
    assert waited == pytest.approx([0, 300, 6 * 3600, 6 * 3600], abs=10)
    said = capsys.readouterr()
    assert "unavailable in words Next try in 300 s" in said.err
    assert "a backup of index 60" in said.out and "nothing has changed" in said.out


def test_two_runs_do_not_write_the_same_file(tmp_path: Path, content: bytes) -> None:
    with Server([sends(content)]).running() as node:

        def begins_another(_: Server, request: BaseHTTPRequestHandler) -> None:
            with pytest.raises(CommandFailed, match=r"Another backup is being written to .*raft-chat\.part"):
                run(node, tmp_path)
            sends(content)(node, request)

        node.script.insert(0, begins_another)
        assert run(node, tmp_path) == 0
        assert len(node.asked) == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


def test_a_run_that_finds_the_file_renamed_by_another_does_not_write_to_it(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def rename_and_lock(descriptor: int, how: int) -> None:
        (tmp_path / "b.part").rename(tmp_path / "b")
        flock(descriptor, how)

    (tmp_path / "b.part").write_bytes(content)
    monkeypatch.setattr("fcntl.flock", rename_and_lock)
    with Server([sends(content)]).running() as node, pytest.raises(CommandFailed, match="Another backup"):
        run(node, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content


@pytest.mark.parametrize("name", ["b.part", "b.part.json", "b.tmp"])
def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / name).symlink_to("theirs")
    with Server([sends(content)]).running() as node, pytest.raises(CommandFailed, match="cannot be written"):
        run(node, tmp_path / "b", "--gzip")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert not (tmp_path / "b").exists()


def test_a_file_of_another_user_is_not_written(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.part").touch()
    monkeypatch.setattr("os.geteuid", lambda: 1 << 30)
    with Server([sends(content)]).running() as node, pytest.raises(CommandFailed, match="no file of this user's own"):
        run(node, tmp_path / "b")
    assert (tmp_path / "b.part").read_bytes() == b""


def test_a_link_as_output_leads_to_the_file_and_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").symlink_to("real")
    with Server([sends(content)]).running() as node:
        assert run(node, tmp_path / "b") == 0
    assert (tmp_path / "b").is_symlink() and left(tmp_path) == ["b", "real"]
    assert (tmp_path / "real").read_bytes() == content


def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    (tmp_path / "file").touch()
    for options in (["pipe"], ["null"], ["file", "--every", "6h"]):
        with pytest.raises(CommandFailed.__bases__[0], match="director"):
            backup.main(
                ["--from", "http://127.0.0.1:1", "--output", str(tmp_path / options[0]), *options[1:]], {}, TOOLS
            )
    assert (tmp_path / "pipe").is_fifo()
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize(
    "options",
    [["--every", "6"], ["--every", "0s"], ["--every", "x"], ["--keep", "0"], ["--every", "1h", "--output", "-"]],
)
def test_malformed_options_are_refused(options: list[str], tmp_path: Path) -> None:
    with pytest.raises(CommandFailed.__bases__[0]):
        backup.main(["--from", "http://127.0.0.1:1", "--output", str(tmp_path), *options], {}, TOOLS)
