"""Accounts have an alias and a password policy; instance profiles and OpenID Connect providers are identities."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("account", sa.Column("alias", sa.String(63)))
    op.add_column("account", sa.Column("password_policy", sa.LargeBinary))
    op.create_index("account_alias", "account", ["alias"], unique=True)
    # A provider's name is a URL, and its kind a longer word than those before.
    for table in ("identity", "identity_link"):
        with op.batch_alter_table(table) as batch:
            batch.alter_column("kind", existing_type=sa.String(8), type_=sa.String(16), existing_nullable=False)
            batch.alter_column("name_key", existing_type=sa.String(128), type_=sa.String(256), existing_nullable=False)
