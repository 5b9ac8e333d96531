"""SQLAlchemy over psycopg2 or psycopg: BEGIN … ROLLBACK around every read, unless its isolation level is AUTOCOMMIT."""

import sys

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

from steps import *

dialect = sys.argv[1]


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.Text)
    ok = mapped_column(sa.Boolean)
    at = mapped_column(sa.DateTime(timezone=True))
    price = mapped_column(sa.Numeric(10, 2))
    raw = mapped_column(sa.LargeBinary)
    extra = mapped_column(postgresql.JSONB)
    tags = mapped_column(postgresql.ARRAY(sa.Text))


class Scratch(Base):
    __tablename__ = "scratch"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.Text)


COLUMNS = [Item.id, Item.name, Item.ok, Item.at, Item.price, Item.raw, Item.extra, Item.tags]
SCRATCHES = sa.select(Scratch.id, Scratch.name).order_by(Scratch.id)
engine = sa.create_engine(f"postgresql+{dialect}://{USER}@{HOST}:{PORT}/{DATABASE}", pool_size=1, max_overflow=0)


def point(id):
    return sa.select(Item.id, Item.name).where(Item.id == id)


def code(error):
    return getattr(error.orig, "sqlstate", None) or error.orig.pgcode


with engine.connect():
    pass
step("connect", version=f"SQLAlchemy {sa.__version__}")
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    many = sa.select(Item.id, Item.name).where(Item.id > 5).order_by(Item.id)
    step("plain point", connection.execute(point(3)).all())
    step("plain many", connection.execute(many).all())
    for name, id in (("types", 2), ("nulls", 11)):
        step("plain " + name, connection.execute(sa.select(*COLUMNS).where(Item.id == id)).all())
    step("plain text", connection.execute(sa.select(Item.id).where(Item.name == TEXT_VALUE)).all())
    for n in range(1, 8):
        step(f"prepared {n}", connection.execute(sa.select(Item.name).where(Item.id == n)).all())
step("returned")
with engine.connect() as connection:
    step("transaction point", connection.execute(point(3)).all())
    step("transaction many", connection.execute(many).all())
step("returned again")
with Session(engine) as session:
    item = session.get(Item, 4)
    step("transaction session", [(item.id, item.name, item.price)])
    with session.begin_nested():
        step("transaction nested", session.execute(point(5)).all())
    session.commit()
step("committed")
with Session(engine) as session:
    session.add(Scratch(id=1, name="one"))
    session.commit()
    step("write insert")
    step("write read", session.execute(SCRATCHES).all())
    step("write again", session.execute(SCRATCHES).all())
    session.commit()
    step("write after", session.execute(SCRATCHES).all())
    try:
        session.execute(sa.text("SELECT 1 / (id - id) FROM items"))
    except sa.exc.DBAPIError as error:
        step("error division", sqlstate=code(error))
    session.rollback()
    try:
        session.execute(sa.insert(Scratch).values(id=1, name="again"))
    except sa.exc.IntegrityError as error:
        step("error unique", sqlstate=code(error))
    try:
        session.connection().exec_driver_sql("SELECT id FROM items WHERE id = 3")
    except sa.exc.DBAPIError as error:
        step("failed transaction", sqlstate=code(error))
    session.rollback()
    step("failed rollback", session.execute(point(3)).all())
    session.rollback()
    session.execute(sa.insert(Scratch).values(id=2, name="two"))
    try:
        with session.begin_nested():
            session.execute(sa.insert(Scratch).values(id=1, name="again"))
    except sa.exc.IntegrityError as error:
        step("savepoint error", sqlstate=code(error))
    session.commit()
    step("savepoint read", session.execute(SCRATCHES).all())
    step("clean", tag=session.execute(sa.delete(Scratch)).rowcount)
    session.commit()
step("returned at last")
engine.dispose()
step("close")
