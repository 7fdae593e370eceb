"""Faults of imports: what they would double, lose, let in or forget to say."""

from chat.api.routes import imports as routes
from chat.services import imports as services
from chat.services import posts as post_services
from chat.state.apply import imports
from chat.state.room import Room
from chat.state.snapshot import sections
from chat.state.tables import Tables
from tests.mutation.mutant import mutant

_STATE, _ROUTES = "chat/state/test_apply_imports.py", "chat/api/routes/test_imports.py"

IMPORTS = (
    mutant(
        "import-after-a-gap",
        "A message is imported though the one before it was lost.",
        "docs/api.md: no message is missing",
        imports._refused,
        "command.number != progress.messages + 1",
        "command.number < progress.messages + 1",
        test=f"{_STATE}::test_a_message_after_one_that_was_lost_is_refused",
    ),
    mutant(
        "import-doubles",
        "A message that comes twice is imported twice.",
        "docs/api.md: no message is imported twice",
        imports.import_post,
        "progress.with_next(id)",
        "progress",
        test=f"{_STATE}::test_messages_get_the_next_ids_of_the_room_in_the_order_of_their_numbers",
    ),
    mutant(
        "import-by-anybody",
        "In the open mode everybody may speak in other people's names and at other times.",
        "docs/api.md: only an admin or the operator may import",
        imports._room,
        "tables.settings.auth == OPEN and not who.operator",
        "False",
        test=f"{_ROUTES}::test_in_the_open_mode_the_operator_alone_imports",
    ),
    mutant(
        "import-by-members",
        "With sign-in every user may import.",
        "docs/api.md: only an admin or the operator may import",
        imports._room,
        "who.role != ADMIN",
        "False",
        test=f"{_ROUTES}::test_with_sign_in_an_admin_imports_and_nobody_else",
    ),
    mutant(
        "import-forgotten-by-a-snapshot",
        "A node that restores a snapshot does not know how far imports have come.",
        "a rule of chat/state/machine.py: a document has everything that apply looks at",
        sections._copy_imports,
        "for room, imports in tables.imports.items()",
        "for room, imports in ()",
        test=f"{_STATE}::test_imports_are_in_a_snapshot",
    ),
    mutant(
        "import-of-a-deleted-room-remembered",
        "A room that is made anew takes an import for one that it has.",
        "docs/api.md: a room remembers its imports",
        Tables.remove_room,
        "self.imports.pop(room.name, None)",
        "pass",
        test=f"{_STATE}::test_a_room_that_is_renamed_keeps_its_imports_and_one_that_is_made_anew_has_none",
    ),
    mutant(
        "imported-time-for-the-age",
        "The time that the room was last posted to goes back.",
        "docs/api.md: wherever ages matter, an imported message counts from its import",
        imports.import_post,
        "max(room.last_posted_at, command.posted_at)",
        "command.posted_at",
        test=f"{_STATE}::test_the_rooms_last_time_does_not_go_back",
    ),
    mutant(
        "edit-takes-the-mark-away",
        "An imported message that is edited is not marked any more.",
        "docs/api.md: imported messages have Imported",
        post_services._command,
        "entry.time if isinstance(shown, ImportPost) else",
        "0 if isinstance(shown, ImportPost) else",
        test=f"{_ROUTES}::test_an_imported_message_stays_marked_when_it_is_edited_or_deleted",
    ),
    mutant(
        "import-told-twice",
        "A client that comes back gets the reactions of an imported message as a change of it.",
        "a rule of chat/state/events.py: an entry makes one event",
        Room._changes_between,
        "!= index",
        "is not None",
        test=f"{_STATE}::test_what_was_imported_can_be_told_from_posts_and_is_told_once_with_its_reactions",
    ),
    mutant(
        "import-of-tomorrow",
        "A message of the future is imported.",
        "docs/api.md: PostedAt",
        services._moment,
        "found > now + AHEAD_S * 1_000_000",
        "False",
        test=f"{_ROUTES}::test_a_wrong_line_is_refused_by_its_number_and_nothing_is_written",
    ),
    mutant(
        "import-by-an-old-state",
        "A node that lags behind takes an import for one that has not come so far.",
        "docs/api.md: you may send a body again after any error",
        routes.import_messages,
        "request.catch_up()",
        "pass",
        test=f"{_ROUTES}::test_a_node_that_lags_behind_asks_for_what_was_imported_elsewhere",
    ),
    mutant(
        "reply-within-a-window",
        "A reply is proposed before the Id of what it answers is known.",
        "docs/api.md: what each message replies to is kept",
        services._windows,
        "end - start == WINDOW or line.reply_to >= lines[start].number",
        "end - start == WINDOW",
        test=f"{_ROUTES}::test_messages_keep_their_author_their_time_and_what_became_of_them",
    ),
)
