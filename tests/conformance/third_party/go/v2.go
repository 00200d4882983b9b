package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ours sends the requests of every service to the server. This release knows no variable
// for that; later ones read AWS_ENDPOINT_URL_KMS themselves.
func ours(_, region string, _ ...interface{}) (aws.Endpoint, error) {
	return aws.Endpoint{URL: os.Getenv("AWS_ENDPOINT_URL_KMS"), SigningRegion: region}, nil
}

func v2Config(ctx context.Context, options ...func(*config.LoadOptions) error) aws.Config {
	resolver := config.WithEndpointResolverWithOptions(aws.EndpointResolverWithOptionsFunc(ours))
	return must(config.LoadDefaultConfig(ctx, append(options, resolver)...))
}

func v2Client(ctx context.Context) *kms.Client {
	return kms.NewFromConfig(v2Config(ctx))
}

func v2Key(ctx context.Context, client *kms.Client, input kms.CreateKeyInput) string {
	return *must(client.CreateKey(ctx, &input)).KeyMetadata.KeyId
}

func v2Encryption(ctx context.Context) {
	client := v2Client(ctx)
	key := v2Key(ctx, client, kms.CreateKeyInput{Description: aws.String("of the AWS SDK for Go")})
	alias := aws.String("alias/go-" + key)
	must(client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: &key}))
	plaintext, purpose := []byte("from the AWS SDK for Go"), map[string]string{"purpose": "test"}

	sealed := must(client.Encrypt(ctx, &kms.EncryptInput{KeyId: alias, Plaintext: plaintext, EncryptionContext: purpose}))
	opened := must(client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: purpose}))
	expect(bytes.Equal(opened.Plaintext, plaintext), "Decrypt returns what was encrypted")
	expect(*opened.KeyId == *sealed.KeyId, "Decrypt names the key")
	_, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	var invalid *types.InvalidCiphertextException
	expect(errors.As(err, &invalid), "without its encryption context a ciphertext is invalid")

	data := must(client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &key, KeySpec: types.DataKeySpecAes256}))
	expect(len(data.Plaintext) == 32, "a data key has 32 bytes")
	opened = must(client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: data.CiphertextBlob}))
	expect(bytes.Equal(opened.Plaintext, data.Plaintext), "Decrypt returns the data key")
	wrapped := must(client.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: &key, NumberOfBytes: aws.Int32(48)}))
	opened = must(client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: wrapped.CiphertextBlob}))
	expect(len(opened.Plaintext) == 48, "a data key has as many bytes as asked for")

	other := v2Key(ctx, client, kms.CreateKeyInput{})
	moved := must(client.ReEncrypt(ctx, &kms.ReEncryptInput{
		CiphertextBlob: sealed.CiphertextBlob, SourceEncryptionContext: purpose, DestinationKeyId: &other}))
	opened = must(client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: moved.CiphertextBlob}))
	expect(bytes.Equal(opened.Plaintext, plaintext), "ReEncrypt keeps the plaintext")
	random := must(client.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(64)}))
	expect(len(random.Plaintext) == 64, "GenerateRandom returns as many bytes as asked for")
}

func v2Signatures(ctx context.Context) {
	client := v2Client(ctx)
	digest := sha256.Sum256([]byte("signed by the AWS SDK for Go"))
	sign := func(key string, algorithm types.SigningAlgorithmSpec) ([]byte, crypto.PublicKey) {
		signed := must(client.Sign(ctx, &kms.SignInput{
			KeyId: &key, Message: digest[:], MessageType: types.MessageTypeDigest, SigningAlgorithm: algorithm}))
		public := must(client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &key}))
		return signed.Signature, must(x509.ParsePKIXPublicKey(public.PublicKey))
	}
	use := types.KeyUsageTypeSignVerify
	key := v2Key(ctx, client, kms.CreateKeyInput{KeyUsage: use, KeySpec: types.KeySpecEccNistP256})
	signature, public := sign(key, types.SigningAlgorithmSpecEcdsaSha256)
	expect(ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], signature), "crypto/ecdsa accepts the signature")
	signature[len(signature)-1] ^= 1
	_, err := client.Verify(ctx, &kms.VerifyInput{KeyId: &key, Message: digest[:], MessageType: types.MessageTypeDigest,
		Signature: signature, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	var wrong *types.KMSInvalidSignatureException
	expect(errors.As(err, &wrong), "Verify refuses a changed signature")

	key = v2Key(ctx, client, kms.CreateKeyInput{KeyUsage: use, KeySpec: types.KeySpecRsa2048})
	signature, public = sign(key, types.SigningAlgorithmSpecRsassaPssSha256)
	check(rsa.VerifyPSS(public.(*rsa.PublicKey), crypto.SHA256, digest[:], signature, nil))

	key = v2Key(ctx, client, kms.CreateKeyInput{KeyUsage: types.KeyUsageTypeGenerateVerifyMac, KeySpec: types.KeySpecHmac256})
	algorithm := types.MacAlgorithmSpecHmacSha256
	mac := must(client.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: &key, Message: digest[:], MacAlgorithm: algorithm}))
	verify := kms.VerifyMacInput{KeyId: &key, Message: digest[:], Mac: mac.Mac, MacAlgorithm: algorithm}
	expect(must(client.VerifyMac(ctx, &verify)).MacValid, "VerifyMac accepts the code")
	verify.Message = digest[1:]
	_, err = client.VerifyMac(ctx, &verify)
	var invalid *types.KMSInvalidMacException
	expect(errors.As(err, &invalid), "VerifyMac refuses another message")
}

func v2Lists(ctx context.Context) {
	client := v2Client(ctx)
	wanted := map[string]bool{}
	for i := 0; i < 5; i++ {
		key := v2Key(ctx, client, kms.CreateKeyInput{Tags: []types.Tag{{TagKey: aws.String("of"), TagValue: aws.String("Go")}}})
		must(client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/go-" + key), TargetKeyId: &key}))
		wanted[key] = true
	}
	keys, aliases := kms.NewListKeysPaginator(client, &kms.ListKeysInput{Limit: aws.Int32(2)}), 0
	found := map[string]bool{}
	for keys.HasMorePages() {
		for _, entry := range must(keys.NextPage(ctx)).Keys {
			expect(!found[*entry.KeyId], "a key is listed once")
			found[*entry.KeyId] = true
		}
	}
	for key := range wanted {
		expect(found[key], "ListKeys lists every key")
		tags := must(client.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: aws.String(key)})).Tags
		expect(len(tags) == 1 && *tags[0].TagValue == "Go", "ListResourceTags lists the tag")
	}
	pages := kms.NewListAliasesPaginator(client, &kms.ListAliasesInput{Limit: aws.Int32(2)})
	for pages.HasMorePages() {
		for _, entry := range must(pages.NextPage(ctx)).Aliases {
			if entry.TargetKeyId != nil && wanted[*entry.TargetKeyId] {
				aliases++
			}
		}
	}
	expect(aliases == len(wanted), "ListAliases lists every alias once")
}

func v2Grants(ctx context.Context) {
	client := v2Client(ctx)
	me := must(sts.NewFromConfig(v2Config(ctx)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
	key := v2Key(ctx, client, kms.CreateKeyInput{})
	made := must(client.CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: &key, GranteePrincipal: me.Arn, Operations: []types.GrantOperation{types.GrantOperationDecrypt},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"purpose": "test"}}}))
	listed := must(client.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key})).Grants
	expect(len(listed) == 1 && *listed[0].GrantId == *made.GrantId, "ListGrants lists the grant")
	expect(listed[0].Constraints.EncryptionContextSubset["purpose"] == "test", "ListGrants returns its constraints")
	must(client.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &key, GrantId: made.GrantId}))
	expect(len(must(client.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key})).Grants) == 0, "a revoked grant is gone")
}

func v2Errors(ctx context.Context) {
	client := v2Client(ctx)
	key := v2Key(ctx, client, kms.CreateKeyInput{})
	alias := kms.CreateAliasInput{AliasName: aws.String("alias/go-" + key), TargetKeyId: &key}
	must(client.CreateAlias(ctx, &alias))

	_, err := client.CreateAlias(ctx, &alias)
	var exists *types.AlreadyExistsException
	expect(errors.As(err, &exists), "a second alias of a name exists already")
	_, err = client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/no-such-alias")})
	var missing *types.NotFoundException
	expect(errors.As(err, &missing) && missing.ErrorMessage() != "", "a missing alias is not found, with a message")
	var reply *smithyhttp.ResponseError
	expect(errors.As(err, &reply) && reply.HTTPStatusCode() == http.StatusBadRequest, "the status is 400")

	encrypt := kms.EncryptInput{KeyId: &key, Plaintext: []byte("x")}
	must(client.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key}))
	_, err = client.Encrypt(ctx, &encrypt)
	var disabled *types.DisabledException
	expect(errors.As(err, &disabled), "a disabled key is refused")
	must(client.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: aws.Int32(7)}))
	_, err = client.Encrypt(ctx, &encrypt)
	var state *types.KMSInvalidStateException
	expect(errors.As(err, &state), "a key that awaits deletion is refused")

	signing := v2Key(ctx, client, kms.CreateKeyInput{KeyUsage: types.KeyUsageTypeSignVerify, KeySpec: types.KeySpecEccNistP256})
	_, err = client.Encrypt(ctx, &kms.EncryptInput{KeyId: &signing, Plaintext: []byte("x")})
	var usage *types.InvalidKeyUsageException
	expect(errors.As(err, &usage), "a key for signatures encrypts nothing")
	stranger := credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "not-the-secret", "")
	_, err = kms.NewFromConfig(v2Config(ctx, config.WithCredentialsProvider(stranger))).ListKeys(ctx, &kms.ListKeysInput{})
	var api smithy.APIError
	expect(errors.As(err, &api) && api.ErrorCode() == "UnrecognizedClientException", "an unknown access key is refused")
}
