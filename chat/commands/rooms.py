"""What becomes of a room as a whole."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """A room goes with all its posts."""

    room: str


@dataclass(frozen=True, slots=True)
class SetRetention:
    """A room keeps its newest `max_messages` posts, at least 1, from now on; None: all."""

    room: str
    max_messages: int | None

    def __post_init__(self) -> None:
        if self.max_messages is not None and self.max_messages < 1:
            raise ValueError("MaxMessages")


Command = DeleteRoom | SetRetention
KINDS: dict[str, type[Command]] = {"delete-room": DeleteRoom, "retention": SetRetention}
