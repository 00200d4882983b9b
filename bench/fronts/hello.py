"""The answer that every front gives: about 300 bytes of JSON, the size of an Encrypt's."""

KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"
BLOB = "A" * 152
BODY = f'{{"CiphertextBlob":"{BLOB}","KeyId":"{KEY}","EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}'.encode()
REQUEST_ID = "00000000-0000-0000-0000-000000000000"
CONTENT_TYPE = "application/x-amz-json-1.1"
