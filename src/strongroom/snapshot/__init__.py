"""The worker's current view of keys, compiled policies and loaded key material."""
