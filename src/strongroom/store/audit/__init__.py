"""The audit log on disk: chained lines in segments. The format is in ``strongroom.audit.chain``.

``log`` implements ``AuditSink`` with ``pending_lines`` (the queue), ``chain_writer`` (the chain) and ``segment_file``
(one file). ``takeover`` finds where a start continues the chain. ``segments``, ``segment_reader``, ``search`` and
``tail`` read logs, also while servers write them; ``archiving`` copies segments and removes them. This package imports
no SQL: what it keeps in the database goes through ``signer``.
"""
