"""Keys whose ids and material come from outside, for development and tests.

``local_kms_file`` reads the seed files of local-kms, ``planting`` makes their keys, and ``ciphertexts`` opens what
local-kms encrypted under them. ``custom_tags`` are the tags with which LocalStack lets a test choose a key's id and
material. ``rows`` are the operations that know of all this. A server that was not started for development has none.
"""
