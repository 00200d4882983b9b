"""The audit log without I/O: the shape of records, the chain, its verification, and who writes it."""
