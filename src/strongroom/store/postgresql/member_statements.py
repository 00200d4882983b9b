"""The statements of the protocol of leases. Each is a transaction of its own, so it takes one round trip."""
# ruff: noqa: S608 - they are made of constants

from strongroom.store.postgresql.schema_version import SCHEMA

CHANNEL = "strongroom"
"""The channel of notifications that something was committed."""

# Where the role or the database sets `synchronous_commit` to less than the confirmation of a standby, renewing a lease
# would prove nothing.
_DURABLE = """WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit',
    CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
    ELSE current_setting('synchronous_commit') END, true)) """
_QUICK = "WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)) "

# Of its two rows, a person may have changed one.
_LEASE = "greatest(member.lease, granted.lease)"
FIND = f"""SELECT node, incarnation, renewed, acked, {_LEASE}
    FROM member LEFT JOIN granted_lease AS granted USING (node, incarnation) WHERE node = %s"""
# A lease without its member is of a row that a person has deleted: it acknowledges nothing.
FIND_ALL = f"""SELECT generation.number, node, incarnation, coalesce(member.renewed, -1),
    coalesce(member.acked, -1), {_LEASE}
    FROM generation LEFT JOIN (member FULL JOIN granted_lease AS granted USING (node, incarnation)) ON true"""
_NOW = "extract(epoch FROM clock_timestamp())"
_ABOUT = "release, listen, regions, workers"
# Locked, so that what narrows the window finds every member that was admitted before.
_ADMITTED = f"""admitted AS MATERIALIZED (SELECT FROM schema_window
    WHERE '{SCHEMA}' BETWEEN oldest AND newest AND moved_to IS NULL FOR SHARE)"""
# A node whose chains count as lost must not write them, so it gets no lease.
_NOT_RETIRED = "NOT EXISTS (SELECT FROM retired_node WHERE retired_node.node = member.node)"
_GRANT = """INSERT INTO granted_lease (node, incarnation, lease) SELECT node, incarnation, lease FROM joined
    ON CONFLICT (node, incarnation) DO UPDATE SET lease = excluded.lease"""
INSERT = f"""{_DURABLE.rstrip()}, {_ADMITTED}, joined AS (
    INSERT INTO member (node, incarnation, renewed, acked, lease, {_ABOUT}, schema, joined_at, renewed_at)
    SELECT %s, %s, 0, 0, %s, %s, %s, %s, %s, '{SCHEMA}', {_NOW}, {_NOW} FROM durable, admitted
    WHERE NOT EXISTS (SELECT FROM retired_node WHERE node = %s)
    ON CONFLICT (node) DO NOTHING RETURNING node, incarnation, lease) {_GRANT}"""
REPLACE = f"""{_DURABLE.rstrip()}, {_ADMITTED}, joined AS (
    UPDATE member SET incarnation = %s, renewed = 0, acked = 0, lease = %s,
    release = %s, listen = %s, regions = %s, workers = %s, schema = '{SCHEMA}', joined_at = {_NOW}, renewed_at = {_NOW}
    FROM durable, admitted WHERE node = %s AND incarnation = %s AND renewed = %s AND {_NOT_RETIRED}
    RETURNING node, incarnation, lease),
    ended AS (DELETE FROM granted_lease USING joined WHERE (granted_lease.node, granted_lease.incarnation) = (%s, %s))
    {_GRANT}"""
IS_RETIRED = "SELECT 1 FROM retired_node WHERE node = %s"
WINDOW = "SELECT oldest, newest, moved_to FROM schema_window"
RENEW = f"""{_DURABLE} UPDATE member SET renewed = renewed + 1, renewed_at = {_NOW} FROM durable, generation
    WHERE node = %s AND incarnation = %s AND {_NOT_RETIRED} RETURNING generation.number, generation.tag"""
GENERATION = "SELECT FROM generation"
# One statement, so that all it reads is of one snapshot.
CHANGES = """SELECT generation.number, generation.tag, change.sequence, change.tag, kind, account, region, name
    FROM generation LEFT JOIN change ON sequence >= %s AND generation.number - %s <= %s ORDER BY sequence"""
ACKNOWLEDGE = f"""{_QUICK} UPDATE member SET acked = greatest(acked, %s) FROM quick, generation
    WHERE node = %s AND incarnation = %s AND generation.number >= %s"""
# The row in `member` is locked first, as by all others: what is counted in `gone` is deleted before. Either row may be
# missing; to delete the other one is durable all the same.
LEAVE = f"""{_DURABLE.rstrip()}, gone AS (
    DELETE FROM member USING durable WHERE (node, incarnation) = (%s, %s) RETURNING node)
    DELETE FROM granted_lease USING durable WHERE (node, incarnation) = (%s, %s) AND (SELECT count(*) FROM gone) >= 0"""
REMOVE = f"""{_DURABLE.rstrip()}, gone AS (
    DELETE FROM member USING durable WHERE (node, incarnation, renewed) = (%s, %s, %s) RETURNING node)
    DELETE FROM granted_lease USING durable WHERE (node, incarnation) = (%s, %s) AND (EXISTS (SELECT FROM gone)
    OR NOT EXISTS (SELECT FROM member WHERE (member.node, member.incarnation) = (%s, %s)))"""
# A transaction that notifies has an id, so its COMMIT waits for the standby.
PROVE = f"{_DURABLE} SELECT pg_notify('{CHANNEL}', '') FROM durable"
NOTIFY = f"{_QUICK} SELECT pg_notify('{CHANNEL}', '') FROM quick"
