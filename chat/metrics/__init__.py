"""The body of `GET /metrics`: the numbers of this node, in the text format of Prometheus."""
