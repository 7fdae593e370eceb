"""What `GET /metrics` shows: the numbers of this node, in the text format of Prometheus."""
