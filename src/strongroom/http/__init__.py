"""HTTP connections: those that clients make to this server, and those that this server makes to others.

Clients' connections are accepted, parsed, timed and limited here, and responses are written. ``listeners`` claims and
shares ports. ``acceptor``, ``tls_handshakes`` and ``excess_connections`` limit connections, ``failed_handshakes``
answers and counts handshakes that fail. ``connection``, ``framing``, ``fast_parser``, ``heads`` and ``request_target``
read requests. ``timeouts``, ``held_bytes`` and ``open_files`` have the limits, ``trusted_proxies`` finds the source
address. ``message`` has request and response.

``outgoing`` makes requests of others, and ``client_tls`` has the TLS of such connections.

Nothing here knows signatures, operations or keys.
"""
