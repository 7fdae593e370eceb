"""Every metric of `GET /metrics`: its name, type, labels and meaning.

Rules.  Names follow Prometheus' conventions: base units, `_total` for counters.  Labels have few values: routes as they
are in the table of routes, peers by id, and words from this program, never input of a client.  docs/monitoring.md has
the same table, which a test compares.
"""

from typing import Final, NamedTuple

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


class Metric(NamedTuple):
    """A metric, which is a family of series: one for each combination of label values."""

    name: str
    kind: str
    help: str  # a line without a backslash
    labels: tuple[str, ...] = ()


_REQUEST = ("method", "route", "status")

PROCESS: Final = (
    Metric("process_cpu_seconds_total", COUNTER, "Processor time that the process has used, in user and system mode."),
    Metric("process_resident_memory_bytes", GAUGE, "Memory of the process that is in RAM."),
    Metric("process_virtual_memory_bytes", GAUGE, "Address space of the process."),
    Metric("process_open_fds", GAUGE, "Open file descriptors."),
    Metric("process_max_fds", GAUGE, "The most file descriptors that the process may open."),
    Metric("process_start_time_seconds", GAUGE, "When the process started, in seconds since 1970."),
    Metric("process_threads", GAUGE, "Threads of the process."),
)
BUILD = Metric("raft_chat_build_info", GAUGE, "Always 1. The labels name the versions.", ("version", "python"))
REQUESTS = Metric("http_requests_total", COUNTER, "Answered HTTP requests, by the class of their status.", _REQUEST)
REQUEST_DURATION = Metric(
    "http_request_duration_seconds", HISTOGRAM, "From a request's last byte to its answer.", _REQUEST
)
WEBSOCKETS = Metric("websocket_connections", GAUGE, "Open websockets.")
FRAMES = Metric("websocket_frames_total", COUNTER, "Frames of websockets, in and out.", ("direction",))
CLOSED = Metric("websocket_closed_total", COUNTER, "Websockets that have ended, by the reason.", ("reason",))
POSTS = Metric("posts_total", COUNTER, "Messages posted to the cluster that this node has applied since it serves.")
TERM = Metric("raft_term", GAUGE, "The current term.")
COMMIT = Metric("raft_commit_index", GAUGE, "The log is known to be committed up to this index.")
APPLIED = Metric("raft_applied_index", GAUGE, "The state of this node is applied up to this index.")
LEADER = Metric("raft_is_leader", GAUGE, "1 on the leader, else 0.")
LEADER_CHANGES = Metric("raft_leader_changes_total", COUNTER, "How often this node has seen a new leader or term.")
FSYNC = Metric("raft_log_fsync_duration_seconds", HISTOGRAM, "Syncs of the log to the disk, one for each batch.")
APPEND = Metric(
    "raft_append_duration_seconds", HISTOGRAM, "From sending entries to a peer to its answer, on the leader.", ("peer",)
)
CONTACT = Metric(
    "raft_peer_last_contact_seconds", GAUGE,
    "Time since a peer was heard: every peer on the leader, the leader on the others.", ("peer",),
)  # fmt: skip
PROPOSALS = Metric("raft_proposals_total", COUNTER, "Changes proposed by this node, by their outcome.", ("outcome",))
LOG = Metric("log_bytes", GAUGE, "The size of the log, with its snapshot.")
LOG_LIVE = Metric("log_live_bytes", GAUGE, "About the size that the log would have after a compaction.")
COMPACTIONS = Metric("log_compactions_total", COUNTER, "Compactions of the log.")
LOST_LINES = Metric(
    "output_lines_lost_total", COUNTER, "Lines that nobody read in time: of the log, on stderr, and of the access log.",
    ("stream",),
)  # fmt: skip
STATE_MISMATCH = Metric(
    "raft_state_digest_mismatch", GAUGE, "1 if a member's state differs from the others', else 0.", ("member",)
)
SCRUBBED = Metric("log_scrub_bytes_total", COUNTER, "Bytes of this node's files that were checked for damage.")
SCRUB_END = Metric(
    "log_scrub_last_success_timestamp_seconds", GAUGE,
    "When all files of this node were last checked for damage, since 1970; 0: not since its start.",
)  # fmt: skip
DAMAGE_FOUND = Metric("log_damage_found_total", COUNTER, "Damaged entries that were found on this node's disk.")
DAMAGE_MENDED = Metric("log_damage_mended_total", COUNTER, "Damaged entries that were mended from another node.")
DISK_FREE = Metric("disk_free_bytes", GAUGE, "Free space on the disk of the data directory.")

METRICS: Final = (
    *PROCESS, BUILD, REQUESTS, REQUEST_DURATION, WEBSOCKETS, FRAMES, CLOSED, POSTS, TERM, COMMIT, APPLIED, LEADER,
    LEADER_CHANGES, FSYNC, APPEND, CONTACT, PROPOSALS, LOG, LOG_LIVE, COMPACTIONS, SCRUBBED, SCRUB_END, DAMAGE_FOUND,
    DAMAGE_MENDED, DISK_FREE, LOST_LINES, STATE_MISMATCH,
)  # fmt: skip
