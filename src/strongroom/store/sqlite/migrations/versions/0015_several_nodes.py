"""What several nodes keep in one database, as far as one node needs it too."""

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
