"""AWS's protocols: SigV4, AWS JSON and AWS Query. They turn an HTTP request into a call, and a result into a reply.

``gateway`` finds the operation and authenticates the caller with ``sigv4``; ``aws_json`` and ``aws_query`` decode
requests and encode replies (``reply``). Operations know none of these, and nothing here knows connections or threads.
"""
