"""Counts of the websockets of a node.  The hub's selector thread writes them; any thread may read."""

from typing import Final

# The reasons of an end, by the status code of the close frame (RFC 6455 §7.4.1, and IANA's registry).
REASONS: Final = {
    1000: "normal", 1001: "going_away", 1002: "protocol_error", 1003: "unsupported_data", 1005: "no_status",
    1007: "invalid_data", 1008: "policy_violation", 1009: "message_too_big", 1011: "internal_error",
    1012: "service_restart", 1013: "try_again_later",
}  # fmt: skip
OTHER: Final = "other"  # a client may choose any code
LOST: Final = "lost"  # the connection ended without a close frame, or the client was silent for too long


class SocketCounts:
    """The counts of one kind of connection."""

    __slots__ = ("closed", "frames_in", "frames_out", "open")

    def __init__(self) -> None:
        self.open = 0
        self.frames_in = 0
        self.frames_out = 0
        self.closed = dict.fromkeys([*REASONS.values(), OTHER, LOST], 0)  # by reason

    def note_end(self, code: int) -> None:
        """Count an end with this status code; 0: without one."""
        self.closed[REASONS.get(code, OTHER) if code else LOST] += 1
