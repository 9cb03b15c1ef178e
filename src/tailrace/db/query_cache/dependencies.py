"""The tags that a statement's result depends on, or why it cannot be cached. Pure.

Nothing is guessed: a relation without a watch and a function that nobody declared each end it. A name without a schema
is taken for every function of that name, whatever its schema and arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tailrace.db.query_cache.catalogue import Catalogue, Function, Relation
from tailrace.db.query_cache.policy import QueryPolicy
from tailrace.db.query_cache.refusal import NotCachedError
from tailrace.db.query_cache.statement import Name, References, parse_expression, parse_statement

__all__ = ["tags_of"]

IN_DEFINITIONS = ("pg_catalog",)
"""Where names without a schema are in what the server shows of views and policies."""

# Not immutable only because they follow settings, which are part of the key, or take any type's text form.
BY_SETTINGS = frozenset(
    [
        *("array_agg", "array_to_json", "array_to_string", "concat", "concat_ws", "date", "date_part", "date_trunc"),
        *("enum_first", "enum_last", "enum_range", "extract", "format", "generate_series", "json_agg"),
        *("json_agg_strict", "json_build_array", "json_build_object", "json_object_agg", "json_object_agg_strict"),
        *("json_object_agg_unique", "json_populate_record", "json_populate_recordset", "json_to_record"),
        *("json_to_recordset", "jsonb_agg", "jsonb_agg_strict", "jsonb_build_array", "jsonb_build_object"),
        *("jsonb_object_agg", "jsonb_object_agg_strict", "jsonb_object_agg_unique", "jsonb_path_exists_tz"),
        *("jsonb_path_match_tz", "jsonb_path_query_tz", "jsonb_populate_record", "jsonb_populate_recordset"),
        *("jsonb_to_record", "jsonb_to_recordset", "make_timestamptz", "phraseto_tsquery", "plainto_tsquery"),
        *("quote_literal", "quote_nullable", "row_to_json", "string_agg", "time", "timestamp", "timestamptz"),
        *("timetz", "timezone", "to_char", "to_date", "to_json", "to_jsonb", "to_number", "to_timestamp"),
        *("to_tsquery", "to_tsvector", "ts_headline", "websearch_to_tsquery"),
    ]
)
PRESENT = frozenset(
    ["now", "age", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "localtimestamp"]
)
SETTINGS = frozenset(("current_setting",))


def tags_of(
    references: References, path: Sequence[str], catalogue: Catalogue, policy: QueryPolicy
) -> tuple[tuple[str, ...], bool]:
    """Sorted tags of everything that is read, and whether equal tables certainly give equal rows.

    Args:
        references: of the statement.
        path: schemas in which names without one are looked for, in order.
        catalogue: what there is.
        policy: the statement's, with what it says of functions and of whose result it is.

    Raises:
        NotCachedError: something is read whose changes cannot be noticed, or are nobody's to share.
    """
    search = _Search(catalogue, policy)
    search.add(references, path)
    return tuple(sorted(search.tags)), search.determined


class _Search:
    """Goes through views, policies and functions until only watched tables are left."""

    def __init__(self, catalogue: Catalogue, policy: QueryPolicy) -> None:
        self.tags: set[str] = set()
        self.determined = True
        self._catalogue = catalogue
        self._policy = policy
        self._seen: set[tuple[str, str]] = set()
        for schema, name in catalogue.casts:
            self._declared(schema, name, "a cast of that is anywhere in the database")

    def add(self, references: References, path: Sequence[str]) -> None:
        self.determined = self.determined and references.determined
        for function in references.functions:
            self._function(function)
        for symbol in references.operators:
            for schema, name in self._catalogue.operators.get(symbol, ()):
                self._declared(schema, name, f"which the operator {symbol} calls")
        for column in references.columns:
            for made in self._catalogue.functions.get(column, ()):
                if made.like_column and not made.sure:
                    self._declared(made.schema, made.name, "which may be called like a column")
        for relation in references.relations:
            self._relation(relation, path)

    def _relation(self, name: Name, path: Sequence[str]) -> None:
        schemas = path if name[0] is None else (name[0],)
        place = next(((schema, name[1]) for schema in schemas if (schema, name[1]) in self._catalogue.relations), None)
        if place is None:
            raise NotCachedError("relation", f"{name[1]} is not found")
        if place in self._seen:
            return
        self._seen.add(place)
        found = self._catalogue.relations[place]
        self._secured(place, found)
        if found.definition is not None:
            self.add(parse_statement(found.definition), IN_DEFINITIONS)
        elif found.tag is not None:
            self.tags.add(found.tag)
        else:
            reason = "unwatched" if found.problem == "has no watch" else "relation"
            raise NotCachedError(reason, f"{'.'.join(place)} {found.problem}")

    def _secured(self, place: tuple[str, str], found: Relation) -> None:
        if found.policies is None:
            return
        if self._policy.identity is None:
            raise NotCachedError("identity", f"{'.'.join(place)} has row security")
        for condition in found.policies:
            self.add(parse_expression(condition), IN_DEFINITIONS)

    def _function(self, name: Name) -> None:
        schema, own = name
        made = [f for f in self._catalogue.functions.get(own, ()) if schema is None or f.schema == schema]
        for each in made:
            self._made(each)
        if schema not in (None, "pg_catalog"):
            if not made:
                raise NotCachedError("function", f"{schema}.{own} is not found")
            return
        sure = self._catalogue.built_in.get(own)
        if sure is None:
            if not made:
                raise NotCachedError("function", f"{own} is not found")
        elif not (sure or own in BY_SETTINGS):
            self._unsure(own)

    def _unsure(self, name: str) -> None:
        """A function of PostgreSQL's own whose result follows from more than its arguments."""
        declared = self._policy.functions.get(name)
        if declared is not None:
            self._watched(declared, name)
        elif name in PRESENT:
            raise NotCachedError("time", f"{name}() changes with time alone")
        elif name not in SETTINGS:
            raise NotCachedError("function", f"{name}() gives other results for equal arguments")
        elif self._policy.identity is None:
            raise NotCachedError("identity", f"{name}() reads a setting")

    def _made(self, function: Function) -> None:
        if not function.sure:
            self._declared(function.schema, function.name, "which may read anything")

    def _declared(self, schema: str, name: str, why: str) -> None:
        declared: Collection[str] | None = self._policy.functions.get(f"{schema}.{name}")
        if declared is None:
            declared = self._policy.functions.get(name)
        if declared is None:
            raise NotCachedError("function", f"it calls {schema}.{name}, {why}: declare it")
        self._watched(declared, f"{schema}.{name}")

    def _watched(self, tags: Collection[str], function: str) -> None:
        known = {found.tag for found in self._catalogue.relations.values()}
        for tag in tags:
            if tag not in known:
                raise NotCachedError("unwatched", f"{function} is said to read {tag}, which has no watch")
            self.tags.add(tag)
