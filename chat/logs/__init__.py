"""Lines of the log about requests: their fields, refused and slow requests, the access log."""
