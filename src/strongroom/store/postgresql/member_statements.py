"""The statements of the protocol of leases. Each is a transaction of its own, so it takes one round trip."""
# ruff: noqa: S608 - they are made of constants

CHANNEL = "strongroom"
"""The channel of notifications that something was committed."""

# Where the role or the database sets `synchronous_commit` to less than the confirmation of a standby, renewing a lease
# would prove nothing.
_DURABLE = """WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit',
    CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
    ELSE current_setting('synchronous_commit') END, true)) """
_QUICK = "WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)) "

_MEMBER = "node, incarnation, renewed, acked, lease"
FIND = f"SELECT {_MEMBER} FROM member WHERE node = %s"
FIND_ALL = f"SELECT generation.number, {_MEMBER} FROM generation LEFT JOIN member ON true"
_NOW = "extract(epoch FROM clock_timestamp())"
_ABOUT = "release, listen, regions, workers"
INSERT = f"""{_DURABLE} INSERT INTO member (node, incarnation, renewed, acked, lease, {_ABOUT}, joined_at, renewed_at)
    SELECT %s, %s, 0, 0, %s, %s, %s, %s, %s, {_NOW}, {_NOW} FROM durable ON CONFLICT (node) DO NOTHING"""
REPLACE = f"""{_DURABLE} UPDATE member SET incarnation = %s, renewed = 0, acked = 0, lease = %s,
    release = %s, listen = %s, regions = %s, workers = %s, joined_at = {_NOW}, renewed_at = {_NOW} FROM durable
    WHERE node = %s AND incarnation = %s AND renewed = %s"""
RENEW = f"""{_DURABLE} UPDATE member SET renewed = renewed + 1, renewed_at = {_NOW} FROM durable, generation
    WHERE node = %s AND incarnation = %s RETURNING generation.number, generation.tag"""
# One statement, so that all it reads is of one snapshot.
CHANGES = """SELECT generation.number, generation.tag, change.sequence, change.tag, kind, account, region, name
    FROM generation LEFT JOIN change ON sequence >= %s AND generation.number - %s <= %s ORDER BY sequence"""
ACKNOWLEDGE = f"""{_QUICK} UPDATE member SET acked = greatest(acked, %s) FROM quick, generation
    WHERE node = %s AND incarnation = %s AND generation.number >= %s"""
LEAVE = f"{_DURABLE} DELETE FROM member USING durable WHERE node = %s AND incarnation = %s"
REMOVE = f"{_DURABLE} DELETE FROM member USING durable WHERE node = %s AND incarnation = %s AND renewed = %s"
NOTIFY = f"{_QUICK} SELECT pg_notify('{CHANNEL}', '') FROM quick"
