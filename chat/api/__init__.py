"""REST: the request, the router, reads, the OpenAPI document and the routes."""
