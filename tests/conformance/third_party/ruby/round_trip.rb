# The AWS SDK for Ruby against the endpoint of AWS_ENDPOINT_URL_KMS: round_trip.rb PART. It raises at the first thing
# that is wrong.
require 'aws-sdk-kms'
require 'openssl'

# Releases since July 2023 read the variable themselves.
ENDPOINT = { endpoint: ENV.fetch('AWS_ENDPOINT_URL_KMS') }.freeze
CLIENT = Aws::KMS::Client.new(ENDPOINT)

def expect(truth, what)
  raise "not so: #{what}" unless truth
end

def refused(error)
  yield
rescue error
  nil
else
  raise "#{error} was not raised"
end

def encryption
  key = CLIENT.create_key(description: 'of the AWS SDK for Ruby').key_metadata
  name = "alias/ruby-#{key.key_id}"
  CLIENT.create_alias(alias_name: name, target_key_id: key.key_id)
  context = { 'purpose' => 'test' }
  sealed = CLIENT.encrypt(key_id: name, plaintext: 'from Ruby', encryption_context: context)
  opened = CLIENT.decrypt(ciphertext_blob: sealed.ciphertext_blob, encryption_context: context)
  expect(opened.plaintext == 'from Ruby' && opened.key_id == key.arn, 'Decrypt returns what was encrypted')
  refused(Aws::KMS::Errors::InvalidCiphertextException) { CLIENT.decrypt(ciphertext_blob: sealed.ciphertext_blob) }
  data_key = CLIENT.generate_data_key(key_id: key.arn, key_spec: 'AES_256')
  expect(data_key.plaintext.bytesize == 32, 'a data key has 32 bytes')
  expect(CLIENT.decrypt(ciphertext_blob: data_key.ciphertext_blob).plaintext == data_key.plaintext, 'it is decrypted')
  CLIENT.disable_key(key_id: key.key_id)
  refused(Aws::KMS::Errors::DisabledException) { CLIENT.encrypt(key_id: name, plaintext: 'x') }
end

def signatures
  { 'ECC_NIST_P256' => 'ECDSA_SHA_256', 'RSA_2048' => 'RSASSA_PKCS1_V1_5_SHA_256' }.each do |spec, algorithm|
    key = CLIENT.create_key(key_usage: 'SIGN_VERIFY', customer_master_key_spec: spec).key_metadata.key_id
    signed = CLIENT.sign(key_id: key, message: 'from Ruby', message_type: 'RAW', signing_algorithm: algorithm)
    public_key = OpenSSL::PKey.read(CLIENT.get_public_key(key_id: key).public_key)
    expect(public_key.verify('SHA256', signed.signature, 'from Ruby'), "OpenSSL accepts the signature of #{spec}")
    refused(Aws::KMS::Errors::KMSInvalidSignatureException) do
      CLIENT.verify(key_id: key, message: 'x', signature: signed.signature, signing_algorithm: algorithm)
    end
  end
end

def lists
  made = Array.new(3) { CLIENT.create_key.key_metadata.key_id }
  # A response of a list is enumerable: each page is asked for when it is needed.
  found = CLIENT.list_keys(limit: 1).flat_map(&:keys).map(&:key_id)
  expect((made - found).empty? && found.uniq == found, 'ListKeys lists every key once')
  refused(Aws::KMS::Errors::NotFoundException) { CLIENT.describe_key(key_id: 'alias/no-such-alias') }
  stranger = Aws::Credentials.new('AKIAIOSFODNN7EXAMPLE', 'not-the-secret')
  client = Aws::KMS::Client.new(credentials: stranger, **ENDPOINT)
  refused(Aws::KMS::Errors::UnrecognizedClientException) { client.list_keys }
end

send({ 'encryption' => :encryption, 'signatures' => :signatures, 'lists' => :lists }.fetch(ARGV.fetch(0)))
