"""Client-side field level encryption of MongoDB's Python driver: ``round_trip.py KEY_ARN OTHER_KEY_ARN``.

The driver speaks to KMS by itself, without an AWS SDK: libmongocrypt makes and signs the requests.
"""

import configparser
import os
import sys
from typing import Any
from urllib.parse import urlsplit

from bson.binary import STANDARD
from bson.codec_options import CodecOptions
from key_vault import key_vault
from pymongo import MongoClient
from pymongo.encryption import Algorithm, ClientEncryption
from pymongo.encryption_options import AutoEncryptionOpts

VAULT = "encryption.__keyVault"


def main() -> None:
    """Encrypt a field, read it with a client that decrypts by itself, move the data key to the other KMS key."""
    key, other = sys.argv[1:]
    profiles = configparser.RawConfigParser()
    profiles.read(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    root = profiles["default"]
    providers = {"aws": {"accessKeyId": root["aws_access_key_id"], "secretAccessKey": root["aws_secret_access_key"]}}
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL_KMS"]).netloc
    tls = {"aws": {"tlsCAFile": os.environ["AWS_CA_BUNDLE"]}}
    codec: Any = CodecOptions(uuid_representation=STANDARD)
    deterministic = Algorithm.AEAD_AES_256_CBC_HMAC_SHA_512_Deterministic
    with key_vault() as address, MongoClient(address) as client:
        with ClientEncryption(providers, VAULT, client, codec, kms_tls_options=tls) as encryption:
            master_key = {"region": "us-east-1", "key": key, "endpoint": endpoint}
            data_key = encryption.create_data_key("aws", master_key=master_key, key_alt_names=["people"])
            code = encryption.encrypt("4711", deterministic, key_id=data_key)
            client.app.people.insert_one({"name": "Ada", "code": code})
            moved = encryption.rewrap_many_data_key({}, "aws", master_key | {"key": other})
            assert moved.bulk_write_result is not None
            assert moved.bulk_write_result.modified_count == 1
        options = AutoEncryptionOpts(providers, VAULT, bypass_auto_encryption=True, kms_tls_options=tls)
        with MongoClient(address, auto_encryption_opts=options) as reader:
            (stored,) = client.app.people.find()
            (read,) = reader.app.people.find()
    assert stored["code"] == code
    assert read["code"] == "4711"


if __name__ == "__main__":
    main()
