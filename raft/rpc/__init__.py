"""JSON over HTTP between members: the codec, the client and the endpoint."""
