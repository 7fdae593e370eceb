"""Every example of the README and of docs/ does what it says, when they are carried out one after the other."""

from pathlib import Path

import pytest

from tests.cluster.examples import Example, Reader, examples
from tests.cluster.people import QUICK_PASSWORDS
from tests.support.cluster import ROOT, Cluster

PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if "curl " in path.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_work(page: Path, tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        reader = Reader(cluster, tmp_path)
        for example in examples(page.read_text()):
            reader.does(example)


def test_an_example_is_what_calls_curl_or_a_command_that_starts_no_node() -> None:
    blocks = ["raft-chat --id 1 --port 12380\n", "curl -L a\n", "ls\n", "raft-chat user add ann\n"]
    page = "".join(f"```sh\n{block}```\n" for block in blocks)
    assert [example.text for example in examples(page)] == ["curl -L a\n", "raft-chat user add ann\n"]


def test_a_comment_says_what_the_next_example_answers_or_what_happens() -> None:
    page = "<!-- answers 410 -->\n\n```sh\ncurl a\n```\n\n<!-- kills 1 -->\n\n```sh\ncurl b\n```\n"
    assert list(examples(page)) == [
        Example("run", "curl a\n", 410), Example("kills", "1"), Example("run", "curl b\n")
    ]  # fmt: skip


def test_what_is_answered_otherwise_is_found(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        reader = Reader(cluster.start_ready(), tmp_path)
        reader.does(Example("run", "curl http://127.0.0.1:12380/rooms/a/messages/1\n", 404))
        for status in (0, 410):
            with pytest.raises(AssertionError, match="no message with this Id"):
                reader.does(Example("run", "curl http://127.0.0.1:12380/rooms/a/messages/1\n", status))
