"""The pure protocol: entries, configuration, log, and the node as a function of messages.

No clock, no thread, no disk.
"""
