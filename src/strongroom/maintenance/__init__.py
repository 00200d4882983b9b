"""Work that the service does by itself when it is due: rotation, expiry, deletion, and checkpoints of the audit log.

``keeper`` runs the rounds. ``key_rotation``, ``material_expiry`` and ``key_deletion`` are its duties (``duty``): each
finds the keys that are due and plans a change. ``service_changes`` records a change in the audit log and makes it. Keys
are changed through ``operations`` only; this package never calls a key back end. ``clock_watch`` says what time it is
for the duties, also when the wall clock was set; ``date_repair`` brings back dates that were written with a wrong one.
"""
