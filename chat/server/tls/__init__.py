"""TLS for the server: the same poller and the same connections, with encrypted bytes on the wire."""
