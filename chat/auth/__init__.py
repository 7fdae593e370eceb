"""Authentication: tokens, cookies, passwords, origins, proxies and rate limits."""
