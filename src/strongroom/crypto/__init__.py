"""Key material behind a Protocol; the only importer of a cryptographic library."""
