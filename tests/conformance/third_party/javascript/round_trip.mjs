// What an application does with the AWS SDK for JavaScript, configured by the environment alone.

import assert from "node:assert/strict";
import { createPublicKey, publicEncrypt, verify, constants } from "node:crypto";
import {
  CreateKeyCommand,
  DecapsulateCommand,
  DecryptCommand,
  EncapsulateCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateMacCommand,
  GetPublicKeyCommand,
  InvalidCiphertextException,
  KMSClient,
  KMSInvalidSignatureException,
  NotFoundException,
  SignCommand,
  VerifyCommand,
  VerifyMacCommand,
  paginateListKeys,
} from "@aws-sdk/client-kms";

const kms = new KMSClient({});
const bytes = (text) => new TextEncoder().encode(text);

async function newKey(KeySpec, KeyUsage) {
  return (await kms.send(new CreateKeyCommand({ KeySpec, KeyUsage }))).KeyMetadata.KeyId;
}

async function publicKeyOf(KeyId) {
  const { PublicKey } = await kms.send(new GetPublicKeyCommand({ KeyId }));
  return createPublicKey({ key: Buffer.from(PublicKey), format: "der", type: "spki" });
}

async function symmetric() {
  const KeyId = await newKey();
  const EncryptionContext = { tenant: "blue", "\u00e9": "\u{1f511}" };
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes("secret"), EncryptionContext }));
  const opened = await kms.send(new DecryptCommand({ CiphertextBlob, EncryptionContext }));
  assert.deepEqual(opened.Plaintext, bytes("secret"));
  await assert.rejects(kms.send(new DecryptCommand({ CiphertextBlob })), InvalidCiphertextException);
  const dataKey = await kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256" }));
  const again = await kms.send(new DecryptCommand({ CiphertextBlob: dataKey.CiphertextBlob }));
  assert.deepEqual(again.Plaintext, dataKey.Plaintext);
  const listed = [];
  for await (const page of paginateListKeys({ client: kms, pageSize: 2 }, {})) {
    listed.push(...page.Keys.map((key) => key.KeyId));
  }
  assert(listed.includes(KeyId));
  await assert.rejects(
    kms.send(new EncryptCommand({ KeyId: "alias/nothing", Plaintext: bytes("x") })),
    NotFoundException,
  );
}

async function signatures() {
  const Message = bytes("signed here, verified there");
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  for (const [spec, SigningAlgorithm, hash, options] of [
    ["RSA_2048", "RSASSA_PSS_SHA_256", "sha256", pss],
    ["ECC_NIST_P256", "ECDSA_SHA_256", "sha256", {}],
    ["ECC_NIST_EDWARDS25519", "ED25519_SHA_512", null, {}],
  ]) {
    const KeyId = await newKey(spec, "SIGN_VERIFY");
    const { Signature } = await kms.send(new SignCommand({ KeyId, Message, SigningAlgorithm }));
    assert(verify(hash, Message, { key: await publicKeyOf(KeyId), ...options }, Signature), spec);
    const wrong = { KeyId, Message: bytes("another"), Signature, SigningAlgorithm };
    await assert.rejects(kms.send(new VerifyCommand(wrong)), KMSInvalidSignatureException);
    assert((await kms.send(new VerifyCommand({ ...wrong, Message }))).SignatureValid);
  }
}

async function publicKeyEncryption() {
  const KeyId = await newKey("RSA_2048", "ENCRYPT_DECRYPT");
  const key = await publicKeyOf(KeyId);
  const CiphertextBlob = publicEncrypt({ key, oaepHash: "sha256" }, bytes("sealed by node"));
  const opened = await kms.send(
    new DecryptCommand({ KeyId, CiphertextBlob, EncryptionAlgorithm: "RSAES_OAEP_SHA_256" }),
  );
  assert.deepEqual(opened.Plaintext, bytes("sealed by node"));
}

async function macsAndSharedSecrets() {
  const mac = { KeyId: await newKey("HMAC_256", "GENERATE_VERIFY_MAC"), Message: bytes("m"), MacAlgorithm: "HMAC_SHA_256" };
  const { Mac } = await kms.send(new GenerateMacCommand(mac));
  assert((await kms.send(new VerifyMacCommand({ ...mac, Mac }))).MacValid);
  const kem = { KeyId: await newKey("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"), EncapsulationAlgorithm: "ML_KEM" };
  const { SharedSecret, SharedSecretCiphertextBlob } = await kms.send(new EncapsulateCommand(kem));
  const opened = await kms.send(new DecapsulateCommand({ ...kem, SharedSecretCiphertextBlob }));
  assert.deepEqual(opened.SharedSecret, SharedSecret);
}

const tests = { symmetric, signatures, publicKeyEncryption, macsAndSharedSecrets };
await tests[process.argv[2]]();
