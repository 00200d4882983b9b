"""HTTP connections: accepts, parses, times and limits them, and writes responses.

``listeners`` claims and shares ports. ``acceptor``, ``tls_handshakes`` and ``excess_connections`` limit connections,
``connection``, ``fast_parser``, ``heads`` and ``request_target`` read requests, ``timeouts``, ``held_bytes`` and
``open_files`` have the limits, ``trusted_proxies`` finds the source address. ``message`` has request and response.
Nothing here knows signatures, operations or keys.
"""
