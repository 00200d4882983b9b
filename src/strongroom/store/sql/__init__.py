"""Reads and writes in SQL that every database can share.

``schema`` has the tables, ``statements`` and ``rows`` translate between rows and types, ``reader`` and ``transaction``
implement ``protocol.Reader`` and ``protocol.Transaction``, with a module for each larger subject. ``change_log`` adds
the entries that other workers read. Nothing here opens a connection or depends on one database.
"""
