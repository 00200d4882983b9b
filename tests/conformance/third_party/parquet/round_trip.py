"""Parquet's modular encryption with PyArrow: ``round_trip.py FOOTER_KEY COLUMN_KEY FOLDER``."""

import base64
import json
import sys
from pathlib import Path

import boto3
import pyarrow as pa
from pyarrow import parquet
from pyarrow.parquet import encryption
from typing_extensions import override


class AwsKms(encryption.KmsClient):  # type: ignore[misc]
    """Wraps the keys of files under KMS keys."""

    def __init__(self, _: encryption.KmsConnectionConfig) -> None:
        super().__init__()
        self._kms = boto3.client("kms")

    @override
    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        wrapped = self._kms.encrypt(KeyId=master_key_identifier, Plaintext=key_bytes)["CiphertextBlob"]
        return base64.b64encode(wrapped).decode()

    @override
    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
        blob = base64.b64decode(wrapped_key)
        return self._kms.decrypt(KeyId=master_key_identifier, CiphertextBlob=blob)["Plaintext"]


def main() -> None:
    """Write a file with one column under a key of its own, and read it."""
    footer_key, column_key, folder = sys.argv[1:]
    path = Path(folder) / "people.parquet"
    factory, connection = encryption.CryptoFactory(AwsKms), encryption.KmsConnectionConfig()
    table = pa.table({"name": ["Ada", "Grace"], "code": ["4711", "0815"]})
    if not path.exists():
        settings = encryption.EncryptionConfiguration(footer_key=footer_key, column_keys={column_key: ["code"]})
        properties = factory.file_encryption_properties(connection, settings)
        with parquet.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)
    properties = factory.file_decryption_properties(connection)
    read = parquet.ParquetFile(path, decryption_properties=properties).read()
    assert read == table
    sys.stdout.write(json.dumps(read.to_pydict()))


if __name__ == "__main__":
    main()
