"""The HTTP front: SigV4 and AWS JSON."""
