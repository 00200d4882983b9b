# The AWS SDK for Ruby against the endpoint of AWS_ENDPOINT_URL_KMS: round_trip.rb PART. It raises at the first thing
# that is wrong.
require 'aws-sdk-kms'

# This release does not know the variable. Later ones read it themselves.
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

def key_life
  key = CLIENT.create_key(tags: [{ tag_key: 'of', tag_value: 'Ruby' }]).key_metadata.key_id
  expect(CLIENT.list_resource_tags(key_id: key).tags.map(&:tag_value) == ['Ruby'], 'ListResourceTags lists the tag')
  CLIENT.enable_key_rotation(key_id: key)
  expect(CLIENT.get_key_rotation_status(key_id: key).key_rotation_enabled, 'the key is rotated')
  principal = CLIENT.describe_key(key_id: key).key_metadata.arn.split(':')[4]
  grant = CLIENT.create_grant(key_id: key, grantee_principal: "arn:aws:iam::#{principal}:root", operations: ['Decrypt'])
  expect(CLIENT.list_grants(key_id: key).grants.map(&:grant_id) == [grant.grant_id], 'ListGrants lists the grant')
  CLIENT.revoke_grant(key_id: key, grant_id: grant.grant_id)
  expect(CLIENT.list_grants(key_id: key).grants.empty?, 'a revoked grant is gone')
  CLIENT.schedule_key_deletion(key_id: key, pending_window_in_days: 7)
  expect(CLIENT.describe_key(key_id: key).key_metadata.deletion_date > Time.now, 'the key has a date of deletion')
  refused(Aws::KMS::Errors::KMSInvalidStateException) { CLIENT.encrypt(key_id: key, plaintext: 'x') }
  CLIENT.cancel_key_deletion(key_id: key)
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

send({ 'encryption' => :encryption, 'key_life' => :key_life, 'lists' => :lists }.fetch(ARGV.fetch(0)))
