"""The process of one node: its descriptors, signals, ports and service manager, and the sub-commands beside it."""
