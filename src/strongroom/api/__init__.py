"""AWS's protocols: SigV4, AWS JSON and AWS Query. They turn an HTTP request into a call, and a result into a reply.

``gateway`` finds the operation and authenticates the caller with ``sigv4`` or ``presigned``; ``aws_json`` and
``aws_query`` decode requests and encode replies (``reply``). ``other_services`` answers calls that are not for this
service, ``cross_origin`` lets web pages read answers. Operations know none of these, and nothing here knows connections
or threads.
"""
