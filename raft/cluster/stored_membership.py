"""The membership that a node finds in its log at a start, and its own URL there."""

import logging
from collections.abc import Mapping

from raft.core.configuration import Configuration

logger = logging.getLogger(__name__)


def own_url(id: int, given: Mapping[int, str], stored: Configuration) -> str:
    """Return the URL of this node according to its log; "" if it has none.  `given`: the URLs of --cluster."""
    known = {member_id: member.url for member_id, member in stored.members.items()}
    if known and known != given:
        listed = ",".join(f"{member_id}={url}" for member_id, url in sorted(known.items()))
        logger.warning("--cluster is ignored, because it differs from the stored membership: %s", listed)
    own = known.get(id, "")
    if own and own != given[id]:
        logger.warning(
            "peers look for this node at %s until PUT /raft/%d moves it; it listens there and at %s",
            own, id, given[id],
        )  # fmt: skip
    return own
