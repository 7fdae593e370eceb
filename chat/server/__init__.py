"""A WSGI server on one poller. It knows neither the chat nor Raft."""
