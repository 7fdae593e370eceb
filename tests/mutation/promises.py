"""Faults that break a promise outside of what the simulator lives: one or two in each of the files that keep one.

They were written by reading the program alone, without a look at the tests.
"""

from chat.api.routes import tokens
from chat.auth import origins, proxies, rate_limits
from chat.auth.authenticator import Authenticator
from chat.realtime import channels, frames, hub, sse
from chat.realtime.subscription import Subscription
from chat.server import http, networks
from chat.server.server import Server
from chat.services import export
from chat.state import permissions, room
from chat.state.apply import expiry, rooms, users
from chat.state.room_directory import RoomDirectory
from chat.state.snapshot import sections
from chat.state.tables import Tables
from raft.compaction.policy import LogMaintenance
from raft.core.client_sessions import Sessions, _Session
from raft.core.configuration import Configuration
from raft.core.node import Node
from raft.core.progress import Progress
from raft.engine.applier import Applier
from raft.engine.clocks import Clocks
from raft.engine.forwarding import Forwarder
from raft.engine.leader_contact import LeaderContact
from raft.storage import identity, index_file, positions, recovery
from raft.storage.log_store import Storage
from raft.storage.snapshot_file import Scan
from tests.mutation.mutant import mutant

ENGINE = (
    mutant(
        "leader-out-of-touch-goes-on",
        "A leader that no majority answers goes on leading.",
        "dissertation §6.2: a leader without a majority steps down, so that clients are told",
        Node._tick_leader,
        "if not self._majority_in_contact(self.configuration):",
        "if False:",
        test="raft/core/test_scripts.py::test_script_plays_as_written[check_quorum]",
    ),
    mutant(
        "deposed-leader-keeps-its-reads",
        "Reads that wait at a leader which is deposed are neither confirmed nor tried elsewhere.",
        "a rule of raft/core/node.py: try reads_lost elsewhere",
        Node.become_follower,
        "self._drop_reads()",
        "pass",
        test="raft/core/test_scripts.py::test_script_plays_as_written[check_quorum]",
    ),
    mutant(
        "batch-vouches-for-itself",
        "A batch's opening calls entries committed that the batch itself still brings.",
        "a rule of raft/storage/log_store.py: what holds whatever part of it a crash leaves",
        Storage._append,
        "min(hard_state.commit_index, lowest - 1)",
        "hard_state.commit_index",
        test="raft/storage/test_recovery.py::test_a_log_torn_at_every_byte_of_its_last_batch_recovers_to_a_prefix",
    ),
    mutant(
        "commit-of-a-snapshot-written-too-early",
        "The commit index that comes with a snapshot is on the disk before the snapshot is.",
        "a rule of raft/storage/log_store.py: of the old log it may not be true",
        Storage._install,
        "kept = replace(hard_state, commit_index=self._hard_state.commit_index)",
        "kept = hard_state",
        test="raft/storage/test_life.py::test_a_log_on_snapshots_is_a_list_whatever_is_done_to_it[6]",
    ),
    mutant(
        "snapshot-whose-lines-changed-places",
        "A snapshot's end vouches for its length only, not for the order of its lines.",
        "a rule of raft/storage/snapshot_file.py: the checksum of all bytes before the end",
        Scan._check_end,
        " or int(end[2], 16) != crc",
        "",
        test="raft/storage/test_snapshot_receiver.py::test_a_snapshot_whose_parts_do_not_fit_is_refused[lines8]",
    ),
    mutant(
        "new-member-votes-at-once",
        "A member that is added as a voter votes before it has caught up.",
        "dissertation §4.2.1: a learner first",
        Configuration._changed,
        "voting=False, promote=voting",
        "voting=voting, promote=False",
        test="raft/core/test_node.py::test_only_voters_are_asked_for_votes",
    ),
    mutant(
        "peers-read-goes-on-to-another-member",
        "A read that a follower asked for is passed on where this member leads no more.",
        "a rule of raft/engine/forwarding.py: there is one hop at most",
        Forwarder.try_again,
        "item.from_peer or item.is_overdue(now_s)",
        "item.is_overdue(now_s)",
        test="raft/engine/test_forwarding.py::"
        "test_a_followers_read_that_is_lost_with_the_leadership_is_never_passed_on_to_a_third_member",
    ),
    mutant(
        "refused-call-counts-as-handed-over",
        "What a leader refused as a whole counts as proposed.",
        "the public promise: 503 says that nothing was proposed, 504 that nobody knows",
        Forwarder._forward,
        "if isinstance(reply, ProposeReply) and not reply.accepted:\n        self._proposals.undo_hand_over(batch)",
        "if isinstance(reply, ProposeReply) and not reply.accepted:\n        pass",
        test="raft/engine/test_forwarding.py::test_who_refused_took_nothing_in",
    ),
    mutant(
        "read-does-not-wait-for-what-its-client-has-seen",
        "A read is answered from a state that is older than what its client was shown elsewhere.",
        "the public promise: a client that names an index reads nothing older",
        Applier.read_at,
        "if max(index, read.min_index) <= self.last_applied:",
        "if index <= self.last_applied:",
        test="raft/engine/test_applier.py::test_a_read_waits_for_the_index_that_it_is_to_show_and_holds_up_no_other",
    ),
    mutant(
        "reads-forgotten-by-who-applies-few",
        "Whoever applies an entry in passing does not have the reads answered that waited for it.",
        "a rule of raft/engine/applier.py",
        Applier.apply_few,
        "self.last_applied < self._commit_index or self._reads",
        "self.last_applied < self._commit_index",
        test="raft/engine/test_applier.py::test_a_read_is_confirmed_where_another_thread_applies_its_index_in_passing",
    ),
    mutant(
        "answered-from-falls",
        "A proposal that was given again brings back the place from which on its member waits.",
        "dissertation §6.3: what is pruned stays refused",
        _Session.remember,
        "max(self.lowest_unanswered, id.sequence - id.reach)",
        "id.sequence - id.reach",
        test="raft/core/test_client_sessions.py::test_the_lowest_unanswered_never_falls",
    ),
    mutant(
        "earlier-boot-takes-the-session",
        "What an earlier boot left behind is applied, and the memory of the present one is gone by it.",
        "dissertation §6.3; a rule of raft/core/client_sessions.py",
        Sessions.admit,
        "id.boot > session.boot",
        "id.boot != session.boot",
        test="raft/core/test_client_sessions.py::test_what_an_earlier_boot_left_behind_is_refused",
    ),
    mutant(
        "late-answer-tells-the-time",
        "A clock is believed however long its answer took.",
        "a rule of raft/engine/clocks.py: an answer that took longer says little about the time",
        Clocks.heard,
        "if answered_s - asked_s <= ANSWER_TIMEOUT_S:",
        "if True:",
        test="raft/engine/test_clocks.py::test_an_answer_that_took_long_says_nothing",
    ),
    mutant(
        "crash-between-two-places",
        "A crash while PLACE is made anew leaves a directory that looks like a copy.",
        "a rule of raft/storage/identity.py: a crash in between starts",
        identity._with_new_place,
        "places=(*old, new)",
        "places=(new,)",
        test="raft/storage/test_identity.py::test_a_start_that_dies_at_any_step_starts_again",
    ),
    mutant(
        "moved-directory-counts-its-boots-on",
        "The newest copy, started as that, may name proposals as a start did that the copy does not know of.",
        "dissertation §6.3; a rule of raft/storage/identity.py",
        identity.settle,
        "identity.boot + MOVED_LEAP +",
        "identity.boot +",
        test="raft/storage/test_identity.py::test_a_copy_is_refused_again_and_again_until_it_is_said_to_have_moved",
        is_slow=True,  # chance decides: the boots are random
    ),
    mutant(
        "longest-record-spills-over",
        "The position of a record as long as one may be names a wrong place.",
        "a rule of raft/storage/positions.py",
        positions.pack,
        "(length - 1) // _BLOCK_BYTES",
        "length // _BLOCK_BYTES",
        test="raft/storage/test_positions.py::test_a_position_keeps_file_and_offset_and_bounds_the_length",
    ),
    mutant(
        "damaged-index-believed",
        "An index whose bytes have changed on the disk is believed.",
        "a rule of raft/storage/index_file.py: each of its bytes is under a checksum",
        index_file._array,
        "if crc32(piece) != crc:",
        "if False:",
        test="raft/storage/test_index_file.py::test_no_index_is_believed_that_is_torn_or_damaged_at_any_byte",
    ),
    mutant(
        "damage-in-the-middle-is-cut",
        "Durable entries behind a damaged record are cut as if a crash had interrupted them.",
        "a rule of raft/storage/recovery.py: before the durable offset nothing is guessed or skipped",
        recovery._Recovery._close_last,
        "max(scan.durable, highest_durable(file, scan.stop, size))",
        "scan.durable",
        test="raft/storage/test_recovery.py::test_one_flipped_bit_at_every_durable_byte_refuses_to_start",
    ),
    mutant(
        "erased-text-stays",
        "A text that was taken back makes no compaction due.",
        "the public promise: a deleted text leaves the disk within about a day",
        LogMaintenance._compaction_due,
        "now_s - self._erased[0][1] >= KEEP_S",
        "False",
        test="raft/compaction/test_policy.py::test_what_was_taken_back_leaves_the_disk_after_a_day_however_little_that_is",
    ),
    mutant(
        "contact-after-a-pause",
        "What lay in a socket while the process was stopped counts as contact with a leader now.",
        "a rule of raft/engine/leader_contact.py: after such a pause nothing counts for GAP_S",
        LeaderContact.ticked,
        "self._believed_from_s = now_s + GAP_S",
        "pass",
        test="raft/engine/test_leader_contact.py::test_what_lay_in_a_socket_while_the_process_was_stopped_counts_for_nothing",
    ),
    mutant(
        "lost-append-not-sent-again",
        "What was sent ahead is not sent again when an append got lost.",
        "Raft §5.3: appends are tried again for ever",
        Progress.lost,
        "self.rejected(self.match_index + 1)",
        "pass",
        test="raft/core/test_progress.py::test_a_lost_append_is_sent_again_from_what_is_known_to_match",
    ),
)

CHAT = (
    mutant(
        "invite-outlives-its-makers-rights",
        "The invite of a user who was deactivated still lets people in.",
        "the public promise: an invite stops working when its maker loses the right to invite",
        permissions.granted,
        "maker is None or not maker.active or",
        "maker is None or",
        test="chat/state/test_apply_users.py::test_an_invite_gives_no_more_rights_than_its_maker_has_by_now[change0]",
    ),
    mutant(
        "own-old-password-not-asked-for",
        "A user changes their password without knowing the old one.",
        "the public promise: whoever finds a session open does not get the account",
        users._refused_change,
        "proved = command.password_at == user.password_index",
        "proved = command.password_at in (user.password_index, None)",
        test="chat/state/test_apply_users.py::"
        "test_an_own_password_is_changed_by_who_knows_the_old_one_and_ends_all_other_tokens",
    ),
    mutant(
        "owner-who-left-owns-on",
        "An owner who leaves a room stays its owner.",
        "a rule of chat/state/apply/rooms.py: an owner is a member",
        rooms.change_members,
        'owner = details.owner if details.owner in members else ""',
        "owner = details.owner",
        test="chat/state/test_apply_rooms.py::test_a_room_that_its_owner_leaves_has_none",
    ),
    mutant(
        "rooms-that-look-alike-made-in-one-moment",
        "Of two rooms that look alike and are proposed at once both are made.",
        "a rule of chat/services/room_names.py: the applier asks again",
        RoomDirectory.looks_like,
        "return any(",
        "return False and any(",
        test="chat/state/test_apply_rooms.py::"
        "test_of_two_rooms_that_look_alike_and_are_proposed_in_one_moment_the_first_is_made[False]",
    ),
    mutant(
        "looks-lost-by-a-snapshot",
        "A member that takes over a snapshot has forgotten what look-alikes of the rooms have in common.",
        "a rule of chat/state/room_directory.py: appliers look at what the commands said",
        sections._restore_looks,
        "tables.rooms.looks[room] = looks",
        "pass",
        test="chat/state/test_apply_rooms.py::"
        "test_of_two_rooms_that_look_alike_and_are_proposed_in_one_moment_the_first_is_made[True]",
    ),
    mutant(
        "one-member-makes-all-rooms",
        "A member who is no admin makes as many rooms as there may be.",
        "the public promise: one user does not use up what is everybody's",
        Tables.has_made_its_share,
        "bound // MAKERS_SHARE",
        "bound",
        test="chat/state/test_apply_rooms.py::"
        "test_one_member_makes_a_share_of_the_rooms_that_there_may_be_and_an_admin_all_that_are_left",
    ),
    mutant(
        "rooms-of-deactivated-makers-count",
        "What a user made who was deactivated goes on counting.",
        "the public promise: an admin who deactivates a user gives everybody room again",
        users.change_user,
        "tables.rooms.retire(user.name, is_active=changed.active)",
        "pass",
        test="chat/state/test_apply_rooms.py::"
        "test_one_member_makes_a_share_of_the_rooms_that_there_may_be_and_an_admin_all_that_are_left",
    ),
    mutant(
        "tokens-of-others-listed",
        "A user may list the tokens of another one.",
        "the public promise: GET /tokens?user= is an admin's",
        tokens._tokens,
        "if who.role != ADMIN and name not in (None, who.name):",
        "if False:",
        test="chat/api/routes/test_tokens.py::test_anothers_tokens_are_an_admins_to_see_and_revoke",
    ),
    mutant(
        "planted-cookie-may-count",
        "Of two different session cookies one counts.",
        "a rule of chat/auth/authenticator.py: one of them may be planted",
        Authenticator._cookie,
        "if len(found) > 1:",
        "if len(found) > 2:",
        test="chat/auth/test_authenticator.py::test_a_token_counts_beside_a_cookie_and_two_cookies_count_for_nothing",
    ),
    mutant(
        "expired-token-recognised",
        "A token is good until the leader has ended it, however old it is.",
        "the public promise: a token is good for nothing after ExpiresAt",
        Authenticator._user_of,
        "if 0 < token.expires_at <= now:",
        "if False:",
        test="chat/auth/test_authenticator.py::test_a_token_is_good_until_it_is_too_old_or_revoked",
    ),
    mutant(
        "restored-state-keeps-the-sockets",
        "Websockets stay open over a restored state, whose events nobody told.",
        "a rule of chat/realtime/hub.py: nothing is dropped in silence",
        hub.Hub.skip_to,
        "self._overrun = self._attached > 0",
        "self._overrun = False",
        test="chat/realtime/test_hub.py::test_a_state_that_was_restored_closes_every_socket_to_resume_by_its_cursor",
    ),
    mutant(
        "page-of-an-earlier-ask",
        "What was read for an earlier subscription is sent to the one that took its place.",
        "a rule of chat/realtime/subscription.py: what was begun for an earlier ask comes to nothing",
        Subscription._got,
        "if asked != self._asked:",
        "if False:",
        test="chat/realtime/test_subscription.py::test_subscribing_again_replaces_the_subscription",
        is_slow=True,  # a race decides: the test tells of it in most runs, not in all
    ),
    mutant(
        "behind-for-long-and-subscribed",
        "A node that has heard of no leader for minutes takes subscriptions.",
        "a rule of chat/realtime/subscription.py: it may not know that a token was revoked",
        Subscription.ask,
        "self._replica.contact_age_s() > STALE_S_MAX",
        "False",
        test="chat/realtime/test_authentication.py::test_on_a_node_that_hears_no_leader_nobody_is_told_what_was_missed",
    ),
    mutant(
        "who-loses-a-room-is-not-told",
        "Those who lose a room that became private are told nothing.",
        "the public promise: to non-members it looks deleted",
        channels.Channels._publish_to_channels,
        "isinstance(event, RoomEvent) and event.lost is not None",
        "False",
        test="chat/realtime/test_registry.py::test_who_loses_a_room_that_becomes_private_is_told_that_it_is_gone_and_no_more",
    ),
    mutant(
        "closed-stream-counts-on",
        "A stream that has ended goes on counting among those that may be open.",
        "a rule of chat/realtime/sse.py: STREAMS_MAX are open at a time",
        sse.EventStream.closed,
        "self._closed(self)",
        "pass",
        test="chat/realtime/test_sse.py::test_one_stream_more_than_there_may_be_is_a_503_until_one_ends",
        is_slow=True,
    ),
    mutant(
        "changes-outlive-their-room",
        "What became of a room's posts is still there when the room was deleted.",
        "a rule of chat/state/room.py: a room that is made again has none of the old posts",
        room.Room.delete,
        "self.details = self.revisions = None",
        "self.details = None",
        test="chat/state/test_apply_expiry.py::"
        "test_a_room_that_is_made_again_knows_nothing_of_what_became_of_posts_before_it_was_deleted",
    ),
    mutant(
        "tiny-chunks-without-end",
        "A body of tiny chunks with long extensions is read without a bound.",
        "a rule of chat/server/http.py: the frames around the data take as many bytes as the data may",
        http.ChunkedBody.feed,
        "if self._wire_bytes > 2 * self._limits.body_bytes + self._limits.head_bytes:",
        "if False:",
        test="chat/server/test_http.py::test_a_chunked_body_has_the_same_limit_and_so_have_its_frames[data2-413]",
    ),
    mutant(
        "fragments-without-end",
        "A websocket message may come in any number of fragments.",
        "a rule of chat/realtime/frames.py: fragments without end cost work and no bytes",
        frames.FrameReader._refused,
        "self._fragments >= FRAGMENTS_MAX",
        "False",
        test="chat/realtime/test_frames.py::test_a_message_has_a_bounded_number_of_fragments[]",
    ),
    mutant(
        "client-that-does-not-read-stays",
        "A client that does not take its answer holds its connection for ever.",
        "a rule of chat/server/server.py: a connection past its deadline is cut",
        Server._sweep,
        "socket.SHUT_RDWR if connection.writing else socket.SHUT_RD",
        "socket.SHUT_RD",
        test="chat/server/test_http_connection.py::test_a_client_that_does_not_read_its_answer_is_cut[threads]",
    ),
    mutant(
        "one-network-for-all-of-ipv4",
        "All IPv4 clients of a dual-stack socket count as one network.",
        "a rule of chat/server/networks.py: an IPv4 address counts as it is",
        networks.network,
        " and ip.ipv4_mapped is None",
        "",
        test="chat/auth/test_rate_limits.py::test_a_line_counts_as_one_address[::ffff:10.0.0.1-10.0.0.1-True]",
    ),
    mutant(
        "wrong-bucket-goes",
        "Of too many buckets the one goes that was made first, though it is in use.",
        "a rule of chat/auth/rate_limits.py: the one goes that was used longest ago",
        rate_limits.TokenBuckets.take,
        "self._full_at.move_to_end(key)",
        "pass",
        test="chat/auth/test_rate_limits.py::test_of_too_many_buckets_the_one_used_longest_ago_goes",
    ),
    mutant(
        "right-guess-costs",
        "A guess that was right counts like a wrong one.",
        "a rule of chat/auth/rate_limits.py: given back where it was right",
        rate_limits.TokenBuckets.refund,
        "- self._rate.refill_s",
        "",
        test="chat/auth/test_rate_limits.py::test_what_is_given_back_does_not_count",
    ),
    mutant(
        "default-age-over-a-rooms-own",
        "A room that is to keep everything lets go of what is older than the default.",
        "the public promise: a room's own retention, also none, goes before the default",
        expiry._too_old,
        "if not age_s and (details is None or not details.retention_own):",
        "if not age_s:",
        test="chat/state/test_apply_expiry.py::test_a_room_that_is_to_keep_everything_does_whatever_is_set_for_the_cluster",
    ),
    mutant(
        "archived-room-goes-as-needless",
        "A room that was archived is deleted as unused.",
        "the public promise: archived rooms stay",
        expiry._is_needless,
        "details.archived or details.visibility == DIRECT",
        "details.visibility == DIRECT",
        test="chat/state/test_apply_expiry.py::test_an_archived_room_stays_however_long_nobody_has_used_it_and_however_empty_it_is",
    ),
    mutant(
        "proxy-not-known-on-a-dual-stack-socket",
        "A trusted proxy with an IPv4 address is not known where the node listens on IPv6 too.",
        "the public promise: --trust-proxy names the proxy's address",
        proxies._address,
        "ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip",
        "ip",
        test="chat/auth/test_proxies.py::"
        "test_the_right_most_address_that_is_not_trusted_is_the_clients[::ffff:10.0.0.1-192.0.2.7-192.0.2.7]",
    ),
    mutant(
        "page-of-a-sibling-site-may-change",
        "A page of another host of the same site may change something without saying its origin.",
        "a rule of chat/auth/origins.py: a page of anybody else may change nothing",
        origins.check_change,
        '("none", "same-origin")',
        '("none", "same-origin", "same-site")',
        test="chat/auth/test_origins.py::test_a_browser_that_names_no_origin_says_how_far_off_the_page_is[same-site-403]",
    ),
    mutant(
        "export-goes-on-for-who-left",
        "An export goes on for a reader who lost the room meanwhile.",
        "the public promise: who has left a room is told nothing of it",
        export.export,
        "def page_of(ask: PageRequest) -> Page:\n        return state.page(room, ask, acting())",
        "who = acting()\n\n    def page_of(ask: PageRequest) -> Page:\n        return state.page(room, ask, who)",
        test="chat/services/test_export.py::test_whose_token_ends_gets_no_piece_more",
    ),
)

PROMISES = (*ENGINE, *CHAT)
