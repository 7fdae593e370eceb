"""The digest of the replicated state: members compare it, and one that differs from a majority gets a new state.

Equal logs give equal states (Raft §5.3, the state machine's determinism).  A bad memory cell, or a fault of this
program, may still give one member another state, and no checksum on the disk shows that.

- `state_digest.py`: a digest, and the copies of the state that wait to be hashed.
- `comparison.py`: which members differ, from the digests that all have told.  Pure.
- `set_aside.py`: a member whose state differs: it stops serving and gets a new state from the leader's snapshot.
- `watch.py`: the thread that hashes, compares and acts.
"""
