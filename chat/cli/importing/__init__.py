"""`raft-chat import`: put the messages of an export into a room."""
