"""Who is asking: tokens, cookies, passwords, origins, proxies and rate limits."""
