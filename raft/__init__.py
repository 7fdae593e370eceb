"""Raft, told in prose.

*What is implemented.*  The paper's election and replication (§5), votes and entries durable before they are answered
for (Figure 2), a no-op at the start of a term and linearizable reads by ReadIndex (§8; dissertation §6.4), pre-vote
(§9.6), check-quorum (§6.2) and stickiness to a living leader (§4.2.3), fast rewind of a conflicting follower (paper
§5.3), replication in parallel with the leader's own disk (§10.2.1), learners and their promotion in rounds (§4.2.1),
membership changes by one server (§4.1) with the fix published later: none before the leader has committed an entry
of its own term.  Leadership is handed over by TimeoutNow (§3.10).  Proposals are applied once however often they are
tried (§6.3).  A log that is mostly garbage is compacted into a snapshot, on each member by itself, and who needs what
was compacted away gets that snapshot (paper §7).

*How it is cut.* `node.py` is the protocol: input in, Ready out; it owns no clock, thread or file, so that all of it can
be simulated.  Around it, from the disk up: `storage.py` keeps the log, `driver.py` turns what the Node says into writes
and time into ticks, `applier.py` feeds the state machine, `peers.py` and `endpoint.py` are the two ends of the network,
`shipping.py` brings snapshots over it, `housekeeping.py` decides when there is to be one and `compaction.py`, in
another process, makes it.  `forwarding.py` takes what clients ask to whoever leads, `formation.py` creates a cluster,
`administration.py` changes it, `peer_ports.py` listens where the peers look for a node that moves, `lookout.py` notices
a removal, `clocks.py` keeps the log's time, `contact.py` how long ago there was a leader, `notices.py`
tells the others what is no part of the log, and `member.py` puts them together behind the few calls that the chat
needs.  `door.py` is the lock that all of them share.

*What is not.*  Leases (a read always asks a majority); changing several voters at once.
"""
