package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/kms"
	"github.com/aws/aws-sdk-go/service/sts"
)

// v1 uses version 1 of the SDK. It knows no variable for an endpoint, so that is set in the program.
func v1(ctx context.Context) {
	settings := aws.Config{Endpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL_KMS"))}
	opened := must(session.NewSession(&settings))
	client := kms.New(opened)
	identity := must(sts.New(opened).GetCallerIdentityWithContext(ctx, &sts.GetCallerIdentityInput{}))
	made := must(client.CreateKeyWithContext(ctx, &kms.CreateKeyInput{})).KeyMetadata
	expect(*made.AWSAccountId == *identity.Account, "the key is of the account")

	plaintext := []byte("from version 1")
	purpose := map[string]*string{"purpose": aws.String("test")}
	sealed := must(client.EncryptWithContext(ctx, &kms.EncryptInput{
		KeyId: made.Arn, Plaintext: plaintext, EncryptionContext: purpose}))
	decrypt := kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: purpose}
	expect(bytes.Equal(must(client.DecryptWithContext(ctx, &decrypt)).Plaintext, plaintext), "Decrypt returns it")
	decrypt.EncryptionContext = nil
	_, err := client.DecryptWithContext(ctx, &decrypt)
	var typed *kms.InvalidCiphertextException
	expect(errors.As(err, &typed), "without its encryption context a ciphertext is invalid")
	must(client.DisableKeyWithContext(ctx, &kms.DisableKeyInput{KeyId: made.KeyId}))
	_, err = client.GenerateDataKeyWithContext(ctx, &kms.GenerateDataKeyInput{KeyId: made.KeyId, KeySpec: aws.String("AES_256")})
	var code awserr.Error
	expect(errors.As(err, &code) && code.Code() == kms.ErrCodeDisabledException, "a disabled key is refused")

	signing := must(client.CreateKeyWithContext(ctx, &kms.CreateKeyInput{
		KeyUsage: aws.String(kms.KeyUsageTypeSignVerify), CustomerMasterKeySpec: aws.String(kms.CustomerMasterKeySpecEccNistP256)}))
	digest := sha256.Sum256(plaintext)
	signed := must(client.SignWithContext(ctx, &kms.SignInput{
		KeyId: signing.KeyMetadata.KeyId, Message: digest[:], MessageType: aws.String(kms.MessageTypeDigest),
		SigningAlgorithm: aws.String(kms.SigningAlgorithmSpecEcdsaSha256)}))
	public := must(client.GetPublicKeyWithContext(ctx, &kms.GetPublicKeyInput{KeyId: signing.KeyMetadata.KeyId}))
	key := must(x509.ParsePKIXPublicKey(public.PublicKey)).(*ecdsa.PublicKey)
	expect(ecdsa.VerifyASN1(key, digest[:], signed.Signature), "crypto/ecdsa accepts the signature")

	found := 0
	check(client.ListKeysPagesWithContext(ctx, &kms.ListKeysInput{Limit: aws.Int64(1)}, func(page *kms.ListKeysOutput, _ bool) bool {
		for _, entry := range page.Keys {
			if *entry.KeyId == *made.KeyId || *entry.KeyId == *signing.KeyMetadata.KeyId {
				found++
			}
		}
		return true
	}))
	expect(found == 2, "ListKeys lists both keys once")
}
