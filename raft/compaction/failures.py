"""The errors of a child process, in words for the log.  They import nothing, so that everybody can know them."""


class RewriteFailed(Exception):
    """A rewrite or a backup that failed; the message says why.  The log is unchanged."""


class RewriteStopped(Exception):
    """A rewrite or a backup that was given up, because this member is shutting down."""
