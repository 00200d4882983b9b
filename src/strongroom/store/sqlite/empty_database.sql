CREATE TABLE access_key (
	access_key_id VARCHAR(128) NOT NULL,
	account VARCHAR(12) NOT NULL,
	principal TEXT NOT NULL,
	wrapped_secret BLOB NOT NULL,
	active BOOLEAN NOT NULL,
	created_at FLOAT NOT NULL, last_used_at FLOAT, last_used_region VARCHAR(64), last_used_service VARCHAR(16), row_mac BLOB,
	PRIMARY KEY (access_key_id)
)

CREATE TABLE account (
	account VARCHAR(12) NOT NULL,
	created_at FLOAT NOT NULL, alias VARCHAR(63), password_policy BLOB, row_mac BLOB,
	PRIMARY KEY (account)
)

CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)

CREATE TABLE alias (
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	name VARCHAR(256) NOT NULL,
	key_id VARCHAR(64) NOT NULL,
	created_at FLOAT NOT NULL,
	updated_at FLOAT NOT NULL, row_mac BLOB,
	PRIMARY KEY (account, region, name),
	CONSTRAINT alias_key FOREIGN KEY(account, region, key_id) REFERENCES kms_key (account, region, key_id)
)

CREATE TABLE audit_checkpoint (
	writer VARCHAR(16) NOT NULL,
	statement BLOB NOT NULL,
	signature BLOB NOT NULL, stopped BOOLEAN DEFAULT 0 NOT NULL, node VARCHAR(12) DEFAULT '' NOT NULL, first_seen FLOAT,
	PRIMARY KEY (writer)
)

CREATE TABLE audit_key (
	version INTEGER NOT NULL,
	wrapped_secret BLOB NOT NULL,
	PRIMARY KEY (version)
)

CREATE TABLE audit_mark (
	writer VARCHAR(16) NOT NULL,
	segment VARCHAR(64) NOT NULL,
	"offset" BIGINT NOT NULL,
	PRIMARY KEY (writer)
)

CREATE TABLE change (
	sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	kind VARCHAR(16) NOT NULL,
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	name VARCHAR(256) NOT NULL
)

CREATE TABLE credential_report (
	account VARCHAR(12) NOT NULL,
	generated_at FLOAT NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (account)
)

CREATE TABLE custom_key_store (
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	store_id VARCHAR(64) NOT NULL,
	name VARCHAR(256) NOT NULL,
	document BLOB NOT NULL, row_mac BLOB,
	PRIMARY KEY (account, region, store_id)
)

CREATE TABLE database_history (
	ordinal INTEGER NOT NULL,
	history_id VARCHAR(16) NOT NULL,
	began_after BIGINT NOT NULL,
	PRIMARY KEY (ordinal)
)

CREATE TABLE destruction (
	object_id VARCHAR(64) NOT NULL,
	document BLOB NOT NULL,
	due_at FLOAT NOT NULL,
	since FLOAT,
	row_mac BLOB,
	PRIMARY KEY (object_id)
)

CREATE TABLE domain_key (
	scope VARCHAR(64) NOT NULL,
	version INTEGER NOT NULL,
	sealed BLOB NOT NULL, created_at FLOAT,
	PRIMARY KEY (scope, version)
)

CREATE TABLE "identity" (
	account VARCHAR(12) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	name_key VARCHAR(256) NOT NULL,
	path VARCHAR(512) NOT NULL,
	unique_id VARCHAR(32) NOT NULL,
	document BLOB NOT NULL, row_mac BLOB,
	PRIMARY KEY (account, kind, name_key)
)

CREATE TABLE "identity_link" (
	account VARCHAR(12) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	name_key VARCHAR(256) NOT NULL,
	relation VARCHAR(16) NOT NULL,
	target VARCHAR(2048) NOT NULL, row_mac BLOB,
	PRIMARY KEY (account, kind, name_key, relation, target)
)

CREATE TABLE key_count (
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	customer_keys INTEGER NOT NULL,
	PRIMARY KEY (account, region)
)

CREATE TABLE key_grant (
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	key_id VARCHAR(64) NOT NULL,
	grant_id VARCHAR(64) NOT NULL,
	grantee VARCHAR(2048) NOT NULL,
	retiring VARCHAR(2048),
	name VARCHAR(256) NOT NULL,
	document BLOB NOT NULL, label BIGINT DEFAULT 0, whatever_context BOOLEAN DEFAULT 1 NOT NULL, terms VARCHAR(64), row_mac BLOB,
	PRIMARY KEY (account, region, key_id, grant_id),
	CONSTRAINT key_grant_key FOREIGN KEY(account, region, key_id) REFERENCES kms_key (account, region, key_id)
)

CREATE TABLE "key_material" (
	region VARCHAR(64) NOT NULL,
	material_id VARCHAR(64) NOT NULL,
	account VARCHAR(12) NOT NULL,
	key_id VARCHAR(64) NOT NULL,
	ordinal INTEGER NOT NULL,
	token BLOB,
	state VARCHAR(48) NOT NULL,
	created_at FLOAT NOT NULL,
	rotated_at FLOAT,
	rotation_type VARCHAR(16),
	expires_at FLOAT,
	description VARCHAR(256),
	PRIMARY KEY (region, material_id),
	CONSTRAINT key_material_key FOREIGN KEY(account, region, key_id) REFERENCES kms_key (account, region, key_id)
)

CREATE TABLE key_tag (
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	key_id VARCHAR(64) NOT NULL,
	tag_key VARCHAR(128) NOT NULL,
	tag_value VARCHAR(256) NOT NULL,
	PRIMARY KEY (account, region, key_id, tag_key),
	CONSTRAINT key_tag_key FOREIGN KEY(account, region, key_id) REFERENCES kms_key (account, region, key_id)
)

CREATE TABLE key_usage (
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	key_id VARCHAR(64) NOT NULL,
	operation VARCHAR(64) NOT NULL,
	used_at FLOAT NOT NULL,
	event_id VARCHAR(64) NOT NULL,
	request_id VARCHAR(64) NOT NULL,
	PRIMARY KEY (account, region, key_id)
)

CREATE TABLE kms_key (
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	key_id VARCHAR(64) NOT NULL,
	spec VARCHAR(32) NOT NULL,
	usage VARCHAR(32) NOT NULL,
	origin VARCHAR(32) NOT NULL,
	manager VARCHAR(16) NOT NULL,
	state VARCHAR(32) NOT NULL,
	description TEXT NOT NULL,
	policy TEXT NOT NULL,
	multi_region BOOLEAN NOT NULL,
	created_at FLOAT NOT NULL,
	deletion_at FLOAT,
	deletion_window_days INTEGER,
	rotation_enabled BOOLEAN NOT NULL,
	rotation_period_days INTEGER NOT NULL,
	next_rotation_at FLOAT, pinned BLOB DEFAULT '[]' NOT NULL, primary_region VARCHAR(64) DEFAULT '' NOT NULL, replica_regions TEXT DEFAULT '' NOT NULL, custom_key_store_id VARCHAR(64), material_macs BLOB, row_mac BLOB,
	PRIMARY KEY (account, region, key_id)
)

CREATE TABLE last_accessed_job (
	account VARCHAR(12) NOT NULL,
	subject VARCHAR(2048) NOT NULL,
	granularity VARCHAR(16) NOT NULL,
	job_id VARCHAR(36) NOT NULL,
	created_at FLOAT NOT NULL,
	PRIMARY KEY (account, subject, granularity)
)

CREATE TABLE principal_use (
	unique_id VARCHAR(32) NOT NULL,
	service VARCHAR(16) NOT NULL,
	used_at FLOAT NOT NULL,
	region VARCHAR(64) NOT NULL,
	PRIMARY KEY (unique_id, service)
)

CREATE TABLE retired_node (
	node VARCHAR(12) NOT NULL,
	retired_at FLOAT NOT NULL,
	stated_by VARCHAR(16) NOT NULL,
	PRIMARY KEY (node)
)

CREATE TABLE seal_document (
	generation INTEGER NOT NULL,
	document BLOB NOT NULL,
	PRIMARY KEY (generation)
)

CREATE TABLE xks_proxy (
	prefix VARCHAR(115) NOT NULL,
	account VARCHAR(12) NOT NULL,
	region VARCHAR(64) NOT NULL,
	signing_region VARCHAR(64) NOT NULL,
	created_at FLOAT NOT NULL,
	row_mac BLOB,
	PRIMARY KEY (prefix)
)

CREATE TABLE xks_proxy_credential (
	access_key_id VARCHAR(30) NOT NULL,
	prefix VARCHAR(115) NOT NULL,
	wrapped_secret BLOB NOT NULL,
	created_at FLOAT NOT NULL,
	row_mac BLOB,
	PRIMARY KEY (access_key_id),
	CONSTRAINT xks_proxy_credential_proxy FOREIGN KEY(prefix) REFERENCES xks_proxy (prefix)
)

CREATE TABLE xks_proxy_key (
	prefix VARCHAR(115) NOT NULL,
	external_id VARCHAR(128) NOT NULL,
	key_id VARCHAR(64) NOT NULL,
	usages VARCHAR(32) NOT NULL,
	created_at FLOAT NOT NULL,
	row_mac BLOB,
	PRIMARY KEY (prefix, external_id),
	CONSTRAINT xks_proxy_key_proxy FOREIGN KEY(prefix) REFERENCES xks_proxy (prefix)
)

CREATE INDEX access_key_principal ON access_key (account, principal)

CREATE UNIQUE INDEX access_key_service ON access_key (principal) WHERE account = ''

CREATE UNIQUE INDEX account_alias ON account (alias)

CREATE INDEX alias_of_key ON alias (account, region, key_id, name)

CREATE UNIQUE INDEX custom_key_store_name ON custom_key_store (account, region, name)

CREATE INDEX identity_link_target ON identity_link (account, target)

CREATE UNIQUE INDEX identity_unique_id ON identity (unique_id)

CREATE INDEX key_grant_grantee ON key_grant (account, region, key_id, grantee, label, grant_id)

CREATE INDEX key_grant_name ON key_grant (account, region, key_id, name)

CREATE INDEX key_grant_retiring ON key_grant (retiring, region, grant_id)

CREATE UNIQUE INDEX key_grant_terms ON key_grant (account, region, key_id, name, terms) WHERE terms IS NOT NULL

CREATE INDEX key_grant_whatever ON key_grant (account, region, key_id, grantee, grant_id) WHERE whatever_context

CREATE INDEX key_material_expiry ON key_material (expires_at) WHERE expires_at IS NOT NULL

CREATE UNIQUE INDEX key_material_of_key ON key_material (account, region, key_id, ordinal)

CREATE INDEX kms_key_deletion ON kms_key (deletion_at) WHERE deletion_at IS NOT NULL

CREATE INDEX kms_key_in_store ON kms_key (custom_key_store_id) WHERE custom_key_store_id IS NOT NULL

CREATE INDEX kms_key_rotation ON kms_key (next_rotation_at) WHERE next_rotation_at IS NOT NULL

CREATE UNIQUE INDEX last_accessed_job_id ON last_accessed_job (job_id)

CREATE INDEX last_accessed_job_subject ON last_accessed_job (subject)

CREATE INDEX xks_proxy_credential_of ON xks_proxy_credential (prefix)

INSERT INTO alembic_version VALUES ('0015')

INSERT INTO database_history VALUES (1, lower(hex(randomblob(8))), 0)
