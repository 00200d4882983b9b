"""What a store holds, one module for each subject: the reads and the writes of it, as Protocols.

Lists are ordered, start after ``after`` and hold at most ``limit`` entries. Writes that update or remove a row raise
WriteConflict if the row is not there; ``Store.write`` then runs the whole write again.
"""
