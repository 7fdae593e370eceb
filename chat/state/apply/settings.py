"""Apply the commands on the cluster's settings: the mode, and bounds for rooms without their own."""

from collections.abc import Callable

from chat.commands import OPERATOR
from chat.commands.cluster import SetAuth, SetSettings
from chat.state import permissions
from chat.state.events import AuthChanged, Emit
from chat.state.results import Refusal, Result, SettingsChanged
from chat.state.settings import INVITE, LOGIN, OPEN, Settings
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

_FORBIDDEN = Refusal("forbidden", "Authorization: this user may not do that")
_AUTH = Refusal("invalid_field", "Auth: must be open or login")
_SIGNUP = Refusal("invalid_field", "Signup: must be open or invite")
_BOUND = Refusal("invalid_field", "Retention: a bound must be positive, or 0 for none")


def set_auth(tables: Tables, command: SetAuth, entry: Entry, emit: Emit) -> SettingsChanged | Refusal:
    """Set the mode.  Only the operator may: by a node's flag, or with its token file."""
    if command.actor.by != OPERATOR:
        return _FORBIDDEN
    if command.auth not in {OPEN, LOGIN}:
        return _AUTH
    if command.signup not in {OPEN, INVITE}:
        return _SIGNUP
    before = tables.settings.auth
    settings = tables.settings._replace(auth=command.auth, signup=command.signup)
    if settings != tables.settings:
        tables.change()
        tables.settings = settings
    if command.auth != before:
        tables.guard()
        emit(AuthChanged(entry.index))
    return SettingsChanged(entry.index, tables.settings)


def set_settings(tables: Tables, command: SetSettings, entry: Entry, emit: Emit) -> SettingsChanged | Refusal:
    """Change the settings that are given.  Posts and rooms beyond a new bound are removed by `expire`."""
    who = permissions.administering(tables, command.actor)
    if command.signup is not None and not isinstance(who, Refusal):
        # Sign-up is about accounts, so in the open mode only the operator may change it.
        who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    if command.signup is not None and command.signup not in {OPEN, INVITE}:
        return _SIGNUP
    settings = tables.settings
    changed = Settings(
        settings.auth,
        settings.signup if command.signup is None else command.signup,
        _or(command.max_rooms, settings.max_rooms),
        _or(command.max_messages, settings.max_messages),
        _or(command.max_age_seconds, settings.max_age_s),
        _or(command.unused_room_seconds, settings.unused_room_s),
        _or(command.empty_room_seconds, settings.empty_room_s),
    )
    if min(changed[2:]) < 0:
        return _BOUND
    if changed != settings:
        tables.change()
        tables.settings = changed
    return SettingsChanged(entry.index, changed)


def _or(said: int | None, before: int) -> int:
    return before if said is None else said


APPLIERS: dict[type, Callable[..., Result]] = {SetAuth: set_auth, SetSettings: set_settings}
