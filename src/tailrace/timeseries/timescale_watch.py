"""How watches of a series' summaries are kept on TimescaleDB. Pure: SQL text only.

A continuous aggregate is a view: no statement writes it, so no trigger could tell. What it shows changes for three
reasons, and each leaves tags in the outbox:

- *Rows are written.* Triggers of the hypertable note the keys of the rows. TimescaleDB gives those of DELETE no
  transition table (it may drop compressed rows unread), so a DELETE notes that any key may have changed.
- *Days that are over are refreshed* with what was written late, in a later transaction than the writing one, and
  *chunks are dropped*. Whoever does that calls a procedure that notes the same. TimescaleDB's own policies call
  nothing, so a job that does all of it stands in for them.

What is written to a chunk by its own name fires nothing: only TimescaleDB does that.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tailrace.errors import SchemaError
from tailrace.schema import Watch
from tailrace.schema.plpgsql import REFERENCING, Function, block, branch, dollar
from tailrace.schema.sql_text import definition_hash, identifier, interval, literal, qualified, short_name
from tailrace.schema.tags import note, note_one, note_truncate, own_tags
from tailrace.timeseries.plain_sql import PlainSql

__all__ = ["TRIGGERS", "WatchSql", "changed_procedure", "own_policies"]

TRIGGERS = ("insert", "update", "delete", "truncate")
_OWN_POLICIES = """
SELECT count(*) FROM timescaledb_information.jobs j
LEFT JOIN timescaledb_information.continuous_aggregates c ON j.hypertable_name = c.materialization_hypertable_name
    AND j.hypertable_schema = c.materialization_hypertable_schema
WHERE j.proc_name = 'policy_retention' AND (j.hypertable_schema, j.hypertable_name) = ({schema}, {table})
   OR j.proc_name = 'policy_refresh_continuous_aggregate' AND c.hypertable_schema = {schema}
      AND c.hypertable_name = {table}
"""


def changed_procedure(sql: PlainSql) -> str:
    """The quoted name of the procedure that notes that all of the summaries may have changed."""
    return qualified("tailrace", short_name(f"series {sql.schema}.{sql.table.name} changed"))


def own_policies(sql: PlainSql) -> str:
    """SELECT how many policies TimescaleDB has that change what is shown, and tell nobody."""
    return _OWN_POLICIES.format(schema=literal(sql.schema), table=literal(sql.table.name))


@dataclass(frozen=True, slots=True)
class WatchSql:
    """What keeps the watches of one series' summaries.

    Args:
        sql: the series.
        watches: of its summaries.
        keep: how old rows may become; None: they are kept for ever.
        refreshed: how far back days may be refreshed; None: as far as there are any.

    Raises:
        SchemaError: a watch has a key that is no column of the series.
    """

    sql: PlainSql
    watches: tuple[Watch, ...]
    keep: timedelta | None
    refreshed: timedelta | None

    def __post_init__(self) -> None:
        for watch in self.watches:
            for key in watch.keys:
                if not isinstance(key, str):
                    raise SchemaError(f"{watch.name}: on TimescaleDB a key of its tags must be a column of its own")

    @property
    def name(self) -> str:
        """What it is recorded as."""
        return f"{self.sql.schema}.{self.sql.table.name} watched"

    @property
    def definition_hash(self) -> str:
        """Changes when any of the text does."""
        return definition_hash(*self.statements())

    def statements(self) -> list[str]:
        """Statements of one transaction that make all of it, or make it anew."""
        changed = changed_procedure(self.sql)
        texts = [f"CREATE OR REPLACE PROCEDURE {changed}() LANGUAGE plpgsql AS {dollar(_body([self._any()]))}"]
        for event in TRIGGERS:
            function = self._function(event)
            *made, trigger = function.create(self.sql.sql_name)
            # A hypertable's triggers cannot be replaced.
            gone = f"DROP TRIGGER IF EXISTS {identifier(function.trigger)} ON {self.sql.sql_name}"
            texts += [*made, gone, trigger.replace("CREATE OR REPLACE TRIGGER", "CREATE TRIGGER", 1)]
        return [*texts, *self._job()]

    def _any(self) -> str:
        return note_truncate(self.watches, ())

    def _function(self, event: str) -> Function:
        name = short_name(f"watched {self.sql.schema}.{self.sql.table.name} {event}")
        referencing = REFERENCING[event] if event in ("insert", "update") else ""
        when = f"AFTER {event.upper()} ON {{table}}{referencing} FOR EACH STATEMENT"
        return Function(f"tailrace_watched_{event}", name, block([self._noted(event)]), when)

    def _noted(self, event: str) -> str:
        if event not in ("insert", "update"):
            return self._any()
        tags = [own_tags(watch, event) for watch in self.watches]
        if event == "update":
            return note(tags)
        return branch("EXISTS (SELECT FROM new_rows OFFSET 1)", [note(tags)], [note_one(tags)])

    # --- what TimescaleDB would do by itself, and tell nobody ------------------------------------

    def _job(self) -> list[str]:
        schema, procedure = "tailrace", short_name(f"series {self.sql.schema}.{self.sql.table.name} upkeep")
        quoted = qualified(schema, procedure)
        jobs = (
            f"timescaledb_information.jobs WHERE proc_schema = {literal(schema)} AND proc_name = {literal(procedure)}"
        )
        return [
            f"SELECT remove_retention_policy({literal(self.sql.sql_name)}, if_exists => true)",
            *(
                f"SELECT remove_continuous_aggregate_policy({literal(summary.sql_name)}, if_exists => true)"
                for summary in self.sql.summaries
            ),
            f"CREATE OR REPLACE PROCEDURE {quoted}(job_id integer, config jsonb) LANGUAGE plpgsql AS "
            + dollar(_body(self._upkeep())),
            f"SELECT delete_job(job_id) FROM {jobs}",
            f"SELECT add_job({literal(quoted)}, interval '1 hour')",
        ]

    def _upkeep(self) -> list[str]:
        texts = []
        if self.refreshed != timedelta():
            start = "NULL" if self.refreshed is None else f"now() - interval {literal(interval(self.refreshed))}"
            span = f"{start}, date_trunc('day', now(), 'UTC')"
            texts += [
                f"CALL refresh_continuous_aggregate({literal(summary.sql_name)}, {span})"
                for summary in self.sql.summaries
            ]
        if self.keep is not None:
            old = f"now() - interval {literal(interval(self.keep))}"
            texts.append(f"PERFORM drop_chunks({literal(self.sql.sql_name)}, older_than => {old})")
        return [*texts, f"CALL {changed_procedure(self.sql)}()"]


def _body(statements: Sequence[str]) -> str:
    return "BEGIN\n" + "".join(f"    {statement};\n" for statement in statements) + "END"
