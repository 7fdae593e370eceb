"""Faults of the commands that work on files alone: the doctor and the bundle."""

from chat.cli.offline import bundle
from raft.cluster import examination
from raft.storage import file_check
from tests.mutation.mutant import mutant

_DOCTOR = "chat/cli/test_doctor.py"

FILES = (
    mutant(
        "doctor-passes-over-a-damaged-line",
        "A sealed segment is not held against its end, so that a damaged line in it is not told.",
        "the public promise: raft-chat doctor shows each damaged place",
        file_check._check_segment,
        "if scan.stop < end:",
        "if False:",
        test=f"{_DOCTOR}::test_damage_is_named_and_a_start_says_what_the_doctor_says[flipped_in_a_sealed_segment]",
    ),
    mutant(
        "doctor-needs-what-was-replaced",
        "Damage in a file that was replaced makes a directory unsound.",
        "a rule of raft/cluster/examination.py: what counts is what a start reads",
        examination._Examination._files,
        "if file.problem and counts and",
        "if file.problem and",
        test=f"{_DOCTOR}::test_what_a_start_does_without_is_told_and_does_not_make_a_directory_unsound",
    ),
    mutant(
        "doctor-takes-a-copy-for-the-directory",
        "A copy of a member's directory is said to start.",
        "a rule of raft/cluster/examination.py: the same functions decide as in a start",
        examination._Examination._start,
        "alone=members.voters == (identity.id,)",
        "alone=True",
        test=f"{_DOCTOR}::test_a_copy_of_a_member_of_several_is_refused_in_the_words_of_a_start",
    ),
    mutant(
        "bundle-takes-any-place",
        "A bundle is written over whatever file has its name.",
        "a rule of chat/cli/offline/bundle.py: only another bundle is overwritten",
        bundle._check_place,
        'if f"{MODULE}.py" in found.namelist():',
        "if True:",
        test="test_bundle.py::test_only_a_bundle_is_overwritten",
    ),
)
