"""Makes keys of this deployment from exported metadata, with new key material (``strongroom import aws``)."""
