"""The replicated state of the chat: rooms, which posts each has and where they lie, and the ClientIds seen."""
