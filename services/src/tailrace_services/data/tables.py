"""What the services' tables have in common. Touches nothing: declarations only.

Each service has a ``Base`` of its own with :func:`new_metadata`, and a table ``dataset`` made of
:class:`DatasetColumns` and its own counts; what was imported is in a table made of :class:`ImportColumns`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, MetaData, SmallInteger, Text, func, text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

__all__ = ["DatasetColumns", "ImportColumns", "Moment", "new_metadata", "one_of"]

Moment = DateTime(timezone=True)


def new_metadata() -> MetaData:
    """Metadata that names constraints by one convention, so that migrations can name them."""
    return MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """``column`` has one of ``values``."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class DatasetColumns:
    """What was generated into this database: at most one row, written in the transaction that loads the rows."""

    __tablename__ = "dataset"

    @declared_attr.directive
    def __table_args__(cls) -> tuple[CheckConstraint, ...]:  # noqa: N805 - SQLAlchemy hands in the class
        return (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, server_default=text("1"))
    scale: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    anchor: Mapped[datetime] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class ImportColumns:
    """What was imported into this database. ``digest`` is the SHA-256 of its unpacked bytes, as hex."""

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    digest: Mapped[str] = mapped_column(Text)
    file_name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())
