"""Put the numbers of all parts of a node together, for one answer of `GET /metrics`."""

import sys
from collections.abc import Callable, Mapping
from typing import Final

from chat.metrics import catalogue
from chat.metrics.exposition import Page
from chat.metrics.process import process_numbers
from chat.metrics.requests import RequestDurations
from chat.metrics.sockets import SocketCounts
from raft.metrics import MemberMetrics

PYTHON: Final = ".".join(map(str, sys.version_info[:3]))


class NodeMetrics:
    """The metrics of one node.  Any thread."""

    def __init__(
        self,
        version: str,
        requests: RequestDurations,
        sockets: SocketCounts | None = None,
        posts: Callable[[], int] = int,
        lost_lines: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """`version`: of this program.  `posts()`: how many were applied since this node serves.

        `lost_lines()`: the lines lost of each stream.
        """
        self._version = version
        self.requests = requests
        self._sockets = sockets or SocketCounts()
        self._posts = posts
        self._lost_lines = lost_lines

    def page(self, member: MemberMetrics | None) -> bytes:
        """Return the answer, in the text format; `member` None: this node does not take part in its cluster yet."""
        page = Page()
        numbers = process_numbers()
        for metric in catalogue.PROCESS:
            if metric.name in numbers:
                page.one(metric, numbers[metric.name])
        page.begin(catalogue.BUILD)
        page.add(1, self._version, PYTHON)
        self._add_requests(page)
        self._add_sockets(page)
        page.one(catalogue.POSTS, self._posts())
        page.begin(catalogue.LOST_LINES)
        for stream, lost in self._lost_lines().items():
            page.add(lost, stream)
        if member is not None:
            _add_member(page, member)
        return page.encode()

    def _add_requests(self, page: Page) -> None:
        counted = self.requests.counted()
        page.begin(catalogue.REQUESTS)
        for method, route, status, histogram in counted:
            page.add(sum(histogram.counts), method, route, status)
        page.begin(catalogue.REQUEST_DURATION)
        for method, route, status, histogram in counted:
            page.add_histogram(histogram, method, route, status)

    def _add_sockets(self, page: Page) -> None:
        sockets = self._sockets
        page.one(catalogue.WEBSOCKETS, sockets.open)
        page.begin(catalogue.FRAMES)
        page.add(sockets.frames_in, "in")
        page.add(sockets.frames_out, "out")
        page.begin(catalogue.CLOSED)
        for reason, count in sockets.closed.items():
            page.add(count, reason)


def _add_member(page: Page, member: MemberMetrics) -> None:
    page.one(catalogue.TERM, member.term)
    page.one(catalogue.COMMIT, member.commit_index)
    page.one(catalogue.APPLIED, member.applied_index)
    page.one(catalogue.LEADER, member.is_leader)
    page.one(catalogue.LEADER_CHANGES, member.leader_changes)
    page.begin(catalogue.FSYNC)
    page.add_histogram(member.log_fsync)
    page.begin(catalogue.APPEND)
    for peer, histogram in sorted(member.append.items()):
        page.add_histogram(histogram, peer)
    page.begin(catalogue.CONTACT)
    for peer, contact_s in sorted(member.last_contact_s.items()):
        page.add(contact_s, peer)
    page.begin(catalogue.PROPOSALS)
    for outcome, count in member.proposals.items():
        page.add(count, outcome)
    page.one(catalogue.LOG, member.log_bytes)
    page.one(catalogue.LOG_LIVE, member.log_live_bytes)
    page.one(catalogue.COMPACTIONS, member.compactions)
    page.begin(catalogue.STATE_MISMATCH)
    for id, differs in sorted(member.state_mismatches.items()):
        page.add(differs, id)
    page.one(catalogue.SCRUBBED, member.scrub_bytes)
    page.one(catalogue.SCRUB_END, member.scrub_last_success)
    page.one(catalogue.DAMAGE_FOUND, member.damage_found)
    page.one(catalogue.DAMAGE_MENDED, member.damage_mended)
    if member.disk_free_bytes is not None:
        page.one(catalogue.DISK_FREE, member.disk_free_bytes)
