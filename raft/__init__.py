"""Raft: consensus, the log on disk, and the transport between members.

*What is implemented.*  The paper's election and replication (§5), votes and entries durable before they are answered
for (Figure 2), a no-op at the start of a term and linearizable reads by ReadIndex (§8; dissertation §6.4), pre-vote
(§9.6), check-quorum (§6.2) and stickiness to a living leader (§4.2.3), fast rewind of a conflicting follower (paper
§5.3), replication in parallel with the leader's own disk (§10.2.1), learners and their promotion in rounds (§4.2.1),
membership changes by one server (§4.1) with the fix published later: none before the leader has committed an entry
of its own term.  Leadership is transferred by TimeoutNow (§3.10).  A proposal is applied once, however often it is
tried (§6.3).  Each member compacts its own log into a snapshot when most of the log is garbage.  A follower that needs
compacted entries gets that snapshot (paper §7).

*How the code is divided*, from the ground up.

- `errors.py`: whose fault an error is, and whether the outcome is known.
- `core/`: the protocol as a pure function.  `node.py` takes an input and returns a Ready.  The Node owns no clock,
  thread or file, so all of it can be simulated.
- `storage/`: the log, snapshots and the identity in a data directory.
- `rpc/`: JSON over HTTP between members: the codec, the client, the endpoint, and the check of the sender.
- `engine/`: the one lock around the Node, and the threads beside it: ticks, group commit, applying, replication,
  forwarding, clocks.
- `compaction/`: when the log is checkpointed or compacted, and the child process that does it.
- `digest/`: comparing the state with the other members', and getting it anew from the leader where it differs.
- `cluster/`: creating and joining a cluster, changing its membership, and `RunningMember`, which joins all parts
  behind the few calls that the chat needs.

*What is not implemented.*  Leases (a read always asks a majority), and changes of several voters at once.
"""
