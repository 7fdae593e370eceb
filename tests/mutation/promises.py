"""Faults that break a promise outside of what the simulator lives: one or two in each of the files that keep one.

They were written by reading the program alone, without a look at the tests.
"""

from chat import audience, buckets, exporting, frames, history, http, hub, networks, origins, proxies, stream
from chat.gatekeeper import Gatekeeper
from chat.routes import tokens
from chat.serving import Server
from chat.state import access, account_changes, expiry, room_changes
from chat.subscription import Subscription
from raft import identity, indexes, positions, recovery
from raft.applier import Applier
from raft.clocks import Clocks
from raft.contact import Contact
from raft.forwarding import Forwarder
from raft.housekeeping import Housekeeper
from raft.membership import Configuration
from raft.node import Node
from raft.progress import Progress
from raft.sessions import Sessions, _Session
from raft.snapshots import Scan
from raft.storage import Storage
from tests.mutation.mutant import mutant

ENGINE = (
    mutant(
        "leader-out-of-touch-goes-on",
        "A leader that no majority answers goes on leading.",
        "dissertation §6.2: a leader without a majority steps down, so that clients are told",
        Node._tick_leader,
        "if not self._majority_in_contact(self.configuration):",
        "if False:",
    ),
    mutant(
        "deposed-leader-keeps-its-reads",
        "Reads that wait at a leader which is deposed are neither confirmed nor tried elsewhere.",
        "a rule of raft/node.py: try reads_lost elsewhere",
        Node.become_follower,
        "self._drop_reads()",
        "pass",
    ),
    mutant(
        "batch-vouches-for-itself",
        "A batch's opening calls entries committed that the batch itself still brings.",
        "a rule of raft/storage.py: what holds whatever part of it a crash leaves",
        Storage._append,
        "min(hard_state.commit_index, lowest - 1)",
        "hard_state.commit_index",
    ),
    mutant(
        "commit-of-a-snapshot-written-too-early",
        "The commit index that comes with a snapshot is on the disk before the snapshot is.",
        "a rule of raft/storage.py: of the old log it may not be true",
        Storage._install,
        "kept = replace(hard_state, commit_index=self._hard_state.commit_index)",
        "kept = hard_state",
    ),
    mutant(
        "snapshot-whose-lines-changed-places",
        "A snapshot's end vouches for its length only, not for the order of its lines.",
        "a rule of raft/snapshots.py: the checksum of all bytes before the end",
        Scan._check_end,
        " or int(end[2], 16) != crc",
        "",
    ),
    mutant(
        "new-member-votes-at-once",
        "A member that is added as a voter votes before it has caught up.",
        "dissertation §4.2.1: a learner first",
        Configuration._changed,
        "voting=False, promote=voting",
        "voting=voting, promote=False",
    ),
    mutant(
        "peers-read-goes-on-to-another-member",
        "A read that a follower asked for is passed on where this member leads no more.",
        "a rule of raft/forwarding.py: there is one hop at most",
        Forwarder.try_again,
        "item.from_peer or item.is_overdue(now_s)",
        "item.is_overdue(now_s)",
    ),
    mutant(
        "refused-call-counts-as-handed-over",
        "What a leader refused as a whole counts as proposed.",
        "the public promise: 503 says that nothing was proposed, 504 that nobody knows",
        Forwarder._forward,
        "self._proposals.take_back(batch)",
        "pass",
    ),
    mutant(
        "read-does-not-wait-for-what-its-client-has-seen",
        "A read is answered from a state that is older than what its client was shown elsewhere.",
        "the public promise: a client that names an index reads nothing older",
        Applier.read_at,
        "if max(index, read.min_index) <= self.last_applied:",
        "if index <= self.last_applied:",
    ),
    mutant(
        "reads-forgotten-by-who-applies-few",
        "Whoever applies an entry in passing does not have the reads answered that waited for it.",
        "a rule of raft/applier.py",
        Applier.apply_few,
        "self.last_applied < self._commit_index or self._reads",
        "self.last_applied < self._commit_index",
    ),
    mutant(
        "answered-from-falls",
        "A proposal that was given again brings back the place from which on its member waits.",
        "dissertation §6.3: what is pruned stays refused",
        _Session.remember,
        "max(self.lowest_unanswered, id.sequence - id.reach)",
        "id.sequence - id.reach",
    ),
    mutant(
        "earlier-boot-takes-the-session",
        "What an earlier boot left behind is applied, and the memory of the present one is gone by it.",
        "dissertation §6.3; a rule of raft/sessions.py",
        Sessions.admit,
        "id.boot > session.boot",
        "id.boot != session.boot",
    ),
    mutant(
        "late-answer-tells-the-time",
        "A clock is believed however long its answer took.",
        "a rule of raft/clocks.py: an answer that took longer says little about the time",
        Clocks.heard,
        "if answered_s - asked_s <= ANSWER_TIMEOUT_S:",
        "if True:",
    ),
    mutant(
        "crash-between-two-places",
        "A crash while PLACE is made anew leaves a directory that looks like a copy.",
        "a rule of raft/identity.py: a crash in between starts",
        identity._with_new_place,
        "places=(*old, new)",
        "places=(new,)",
    ),
    mutant(
        "moved-directory-counts-its-boots-on",
        "The newest copy, started as that, may name proposals as a start did that the copy does not know of.",
        "dissertation §6.3; a rule of raft/identity.py",
        identity.settle,
        "identity.boot + MOVED_LEAP +",
        "identity.boot +",
    ),
    mutant(
        "longest-record-spills-over",
        "The position of a record as long as one may be names a wrong place.",
        "a rule of raft/positions.py",
        positions.pack,
        "(length - 1) // _BLOCK_BYTES",
        "length // _BLOCK_BYTES",
    ),
    mutant(
        "damaged-index-believed",
        "An index whose bytes have changed on the disk is believed.",
        "a rule of raft/indexes.py: each of its bytes is under a checksum",
        indexes._array,
        "if crc32(piece) != crc:",
        "if False:",
    ),
    mutant(
        "damage-in-the-middle-is-cut",
        "Durable entries behind a damaged record are cut as if a crash had interrupted them.",
        "a rule of raft/recovery.py: before the durable offset nothing is guessed or skipped",
        recovery._Recovery._close_last,
        "max(scan.durable, highest_durable(file, scan.stop, size))",
        "scan.durable",
    ),
    mutant(
        "erased-text-stays",
        "A text that was taken back makes no compaction due.",
        "the public promise: a deleted text leaves the disk within about a day",
        Housekeeper._compaction_due,
        "now_s - self._erased[0][1] >= KEEP_S",
        "False",
    ),
    mutant(
        "contact-after-a-pause",
        "What lay in a socket while the process was stopped counts as contact with a leader now.",
        "a rule of raft/contact.py: after such a pause nothing counts for GAP_S",
        Contact.ticked,
        "self._believed_from_s = now_s + GAP_S",
        "pass",
    ),
    mutant(
        "lost-append-not-sent-again",
        "What was sent ahead is not sent again when an append got lost.",
        "Raft §5.3: appends are tried again for ever",
        Progress.lost,
        "self.rejected(self.match_index + 1)",
        "pass",
    ),
)

CHAT = (
    mutant(
        "invite-outlives-its-makers-rights",
        "The invite of a user who was deactivated still lets people in.",
        "the public promise: an invite stops working when its maker loses the right to invite",
        access.granted,
        "maker is None or not maker.active or",
        "maker is None or",
    ),
    mutant(
        "own-old-password-not-asked-for",
        "A user changes their password without knowing the old one.",
        "the public promise: whoever finds a session open does not get the account",
        account_changes._refused_change,
        "proved = command.password_at == user.password_index",
        "proved = command.password_at in (user.password_index, None)",
    ),
    mutant(
        "owner-who-left-owns-on",
        "An owner who leaves a room stays its owner.",
        "a rule of chat/state/room_changes.py: an owner is a member",
        room_changes.change_members,
        'owner = details.owner if details.owner in members else ""',
        "owner = details.owner",
    ),
    mutant(
        "tokens-of-others-listed",
        "A user may list the tokens of another one.",
        "the public promise: GET /tokens?user= is an admin's",
        tokens._tokens,
        "if who.role != ADMIN and name not in (None, who.name):",
        "if False:",
    ),
    mutant(
        "planted-cookie-may-count",
        "Of two different session cookies one counts.",
        "a rule of chat/gatekeeper.py: one of them may be planted",
        Gatekeeper._cookie,
        "if len(found) > 1:",
        "if len(found) > 2:",
    ),
    mutant(
        "expired-token-recognised",
        "A token is good until the leader has ended it, however old it is.",
        "the public promise: a token is good for nothing after ExpiresAt",
        Gatekeeper._user_of,
        "if 0 < token.expires_at <= now:",
        "if False:",
    ),
    mutant(
        "restored-state-keeps-the-sockets",
        "Websockets stay open over a restored state, whose events nobody told.",
        "a rule of chat/hub.py: nothing is dropped in silence",
        hub.Hub.skip_to,
        "self._overrun = self._guests > 0",
        "self._overrun = False",
    ),
    mutant(
        "page-of-an-earlier-ask",
        "What was read for an earlier subscription is sent to the one that took its place.",
        "a rule of chat/subscription.py: what was begun for an earlier ask comes to nothing",
        Subscription._got,
        "if asked != self._asked:",
        "if False:",
    ),
    mutant(
        "behind-for-long-and-subscribed",
        "A node that has heard of no leader for minutes takes subscriptions.",
        "a rule of chat/subscription.py: it may not know that a token was revoked",
        Subscription.ask,
        "self._replica.contact_age_s() > STALE_S_MAX",
        "False",
    ),
    mutant(
        "who-loses-a-room-is-not-told",
        "Those who lose a room that became private are told nothing.",
        "the public promise: to non-members it looks deleted",
        audience.Audience._deliver_to_groups,
        "isinstance(event, RoomEvent) and event.lost is not None",
        "False",
    ),
    mutant(
        "closed-stream-counts-on",
        "A stream that has ended goes on counting among those that may be open.",
        "a rule of chat/stream.py: STREAMS_MAX are open at a time",
        stream.Stream.close,
        "self._closed()",
        "pass",
    ),
    mutant(
        "changes-outlive-their-room",
        "What became of a room's posts is still there when the room was deleted.",
        "a rule of chat/history.py: a room that is made again has none of the old posts",
        history.Room.delete,
        "self.details = self.changes = None",
        "self.details = None",
    ),
    mutant(
        "tiny-chunks-without-end",
        "A body of tiny chunks with long extensions is read without a bound.",
        "a rule of chat/http.py: the frames around the data take as many bytes as the data may",
        http.ChunkedBody.feed,
        "if self._wire_bytes > 2 * self._limits.body_bytes + self._limits.head_bytes:",
        "if False:",
    ),
    mutant(
        "fragments-without-end",
        "A websocket message may come in any number of fragments.",
        "a rule of chat/frames.py: fragments without end cost work and no bytes",
        frames.Frames._begin_frame,
        "if self._fragments > FRAGMENTS_MAX:",
        "if False:",
    ),
    mutant(
        "client-that-does-not-read-stays",
        "A client that does not take its answer holds its connection for ever.",
        "a rule of chat/serving.py: a connection past its deadline is cut",
        Server._sweep,
        "socket.SHUT_RDWR if connection.writing else socket.SHUT_RD",
        "socket.SHUT_RD",
    ),
    mutant(
        "one-network-for-all-of-ipv4",
        "All IPv4 clients of a dual-stack socket count as one network.",
        "a rule of chat/networks.py: an IPv4 address counts as it is",
        networks.network,
        " and ip.ipv4_mapped is None",
        "",
    ),
    mutant(
        "wrong-bucket-goes",
        "Of too many buckets the one goes that was made first, though it is in use.",
        "a rule of chat/buckets.py: the one goes that was used longest ago",
        buckets.Buckets.take,
        "self._full_at.move_to_end(key)",
        "pass",
    ),
    mutant(
        "right-guess-costs",
        "A guess that was right counts like a wrong one.",
        "a rule of chat/buckets.py: given back where it was right",
        buckets.Buckets.give_back,
        "- self._rate.refill_s",
        "",
    ),
    mutant(
        "default-age-over-a-rooms-own",
        "A room that is to keep everything lets go of what is older than the default.",
        "the public promise: a room's own retention, also none, goes before the default",
        expiry._too_old,
        "if not age_s and (details is None or not details.retention_own):",
        "if not age_s:",
    ),
    mutant(
        "archived-room-goes-as-needless",
        "A room that was archived is deleted as unused.",
        "the public promise: archived rooms stay",
        expiry._is_needless,
        "details.archived or details.visibility == DIRECT",
        "details.visibility == DIRECT",
    ),
    mutant(
        "proxy-not-known-on-a-dual-stack-socket",
        "A trusted proxy with an IPv4 address is not known where the node listens on IPv6 too.",
        "the public promise: --trust-proxy names the proxy's address",
        proxies._address,
        "ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip",
        "ip",
    ),
    mutant(
        "page-of-a-sibling-site-may-change",
        "A page of another host of the same site may change something without saying its origin.",
        "a rule of chat/origins.py: a page of anybody else may change nothing",
        origins.check_change,
        '("none", "same-origin")',
        '("none", "same-origin", "same-site")',
    ),
    mutant(
        "export-goes-on-for-who-left",
        "An export goes on for a reader who lost the room meanwhile.",
        "the public promise: who has left a room is told nothing of it",
        exporting.export,
        "def page_of(ask: PageAsk) -> Page:\n        return state.page(room, ask, acting())",
        "who = acting()\n\n    def page_of(ask: PageAsk) -> Page:\n        return state.page(room, ask, who)",
    ),
)

PROMISES = (*ENGINE, *CHAT)
