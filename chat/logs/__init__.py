"""The log: the formats of a line and its fields, refused and slow requests, the access log."""
