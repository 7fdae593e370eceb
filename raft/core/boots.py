"""The boots of a member: the starts that its data directory knows, and how an older copy of it is recognized.

Each start draws a boot: a number higher than all that this directory has drawn, by a random amount.  The directory
keeps the last boot that it knows to be recorded by the cluster and all boots since, in ascending order; the last one is
that of the running process.  The leader records the newest boot of each member in the configuration, which is in the
log.

Rules.
- A directory that has drawn boot r has r in its list, or its list begins above r.  So a directory whose list begins
  below r and lacks r is an older copy, from a time before r was drawn.
- This also holds for a record that is not committed: a boot is recorded only after a start of the member drew it.
- A list that begins above r proves nothing: the log of the member that checks it may lag behind.
- The list is cut to begin at a boot only once that boot is recorded in a committed configuration.  Cut earlier, an
  older copy that is started twice would begin above the boot that it lacks.
- A list has at most BOOTS_MAX numbers.  A full list drops those after the second, so a boot recorded between the second
  and the third is not judged: no sound member is ever refused, and a rollback among those boots is not found by number.
"""

BOOTS_MAX = 256  # starts in a row without a majority to record them; each message carries the whole list


def with_boot(boots: tuple[int, ...], boot: int) -> tuple[int, ...]:
    """Return the list after another start."""
    grown = (*boots, boot)
    return grown if len(grown) <= BOOTS_MAX else (*grown[:2], *grown[3:])


def since_recorded(boots: tuple[int, ...], recorded: int) -> tuple[int, ...]:
    """Return the list cut to begin at `recorded`, which is committed; a full list is not cut before its gap."""
    gap = 2 if len(boots) >= BOOTS_MAX else 0
    return boots[boots.index(recorded, gap) :] if recorded in boots[gap:] else boots


def is_of_older_copy(boots: tuple[int, ...], recorded: int) -> bool:
    """Return whether a directory with this list is older than the member's start `recorded`; 0: none is recorded."""
    if not boots or recorded <= boots[0] or recorded in boots:
        return False
    return not (len(boots) >= BOOTS_MAX and boots[1] < recorded < boots[2])


def is_list_of_boots(value: object) -> bool:
    """Return whether `value` is a list that `with_boot` makes, or an empty one."""
    if not isinstance(value, list) or len(value) > BOOTS_MAX or any(type(boot) is not int for boot in value):
        return False
    return all(earlier < later for earlier, later in zip([0, *value], value, strict=False))
