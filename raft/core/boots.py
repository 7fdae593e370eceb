"""The boots of a member: which of its starts its data directory knows of, and what follows for an older copy of it.

Each start draws a boot: a number that is higher than all that this directory has drawn, by a random amount.  The
directory keeps the last boot that it knows to be recorded by the cluster and all since, in ascending order; the one of
now is the last.  The leader records the newest boot of each member in the configuration, which is in the log.

Rules.
- A directory that goes on from what it was at boot r has r in its list, or a first boot above r.  So one whose list
  begins below r and lacks r is an older copy: that of a time before r was drawn.
- That holds for a record that is not committed too: whoever recorded it, the boot was drawn, by a start of the member.
- A list that begins above r says nothing: then the judge's log lags behind what the member knows to be recorded.
- The list is cut to begin at a boot only once that is recorded in a committed configuration.  Cut earlier, an older
  copy that is started twice would begin above the boot that it lacks.
- A list has BOOTS_MAX numbers at most.  Of a full one those after the second were dropped, so what is recorded between
  the second and the third is not judged: a member is never refused that is none, and a roll back among those boots
  is not found out by their numbers.
"""

BOOTS_MAX = 256  # starts in a row that are not recorded, without a majority; each message names all of them


def with_boot(boots: tuple[int, ...], boot: int) -> tuple[int, ...]:
    """The list after another start."""
    grown = (*boots, boot)
    return grown if len(grown) <= BOOTS_MAX else (*grown[:2], *grown[3:])


def since_recorded(boots: tuple[int, ...], recorded: int) -> tuple[int, ...]:
    """The list once `recorded` is in a committed configuration; a full one is not cut before its gap."""
    gap = 2 if len(boots) >= BOOTS_MAX else 0
    return boots[boots.index(recorded, gap) :] if recorded in boots[gap:] else boots


def is_of_older_copy(boots: tuple[int, ...], recorded: int) -> bool:
    """Whether a directory with this list is older than the start `recorded` of the same member; 0: none is recorded."""
    if not boots or recorded <= boots[0] or recorded in boots:
        return False
    return not (len(boots) >= BOOTS_MAX and boots[1] < recorded < boots[2])


def is_list_of_boots(value: object) -> bool:
    """Whether this is a list as `with_boot` makes it, or an empty one."""
    if not isinstance(value, list) or len(value) > BOOTS_MAX or any(type(boot) is not int for boot in value):
        return False
    return all(earlier < later for earlier, later in zip([0, *value], value, strict=False))
