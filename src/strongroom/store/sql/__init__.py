"""Reads and writes in SQL that every database can share.

``schema`` has the tables, ``statements`` and ``rows`` translate between rows and types, ``reader`` and ``transaction``
implement ``protocol.Reader`` and ``protocol.Transaction``, with a module for each larger subject. ``change_log`` adds
the entries that other workers read. ``row_guard`` lets through only authentic rows (``row_macs``), and ``key_rows``
puts a key together from its own; ``row_codes`` and ``row_check`` go through all rows (``row_walk``). ``sections``
has whole tables for backups. Nothing here opens a connection or depends on one database.
"""
