// The AWS Encryption SDK for JavaScript: `messages.mjs encrypt|decrypt FILE KEY_ARN`. It writes the file, or reads it.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { CommitmentPolicy, KmsKeyringNode, buildClient } from "@aws-crypto/client-node";

const [what, file, keyArn] = process.argv.slice(2);
const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
const message = "written in one language, read in another";
const encryptionContext = { tenant: "blue" };

if (what === "encrypt") {
  const { result } = await encrypt(new KmsKeyringNode({ generatorKeyId: keyArn }), message, { encryptionContext });
  writeFileSync(file, result);
} else {
  const { plaintext, messageHeader } = await decrypt(new KmsKeyringNode({ keyIds: [keyArn] }), readFileSync(file));
  assert.equal(plaintext.toString(), message);
  assert.equal(messageHeader.encryptionContext.tenant, encryptionContext.tenant);
}
