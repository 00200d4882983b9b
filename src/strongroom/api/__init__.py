"""AWS's protocols: SigV4, AWS JSON and AWS Query; from an HTTP request to a call, and from a result to a reply."""
