"""$filter: the subset of OData 3 that 1C understands, read into a test of one row."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from bus.sandbox.onec.odata import errors, functions, tokens
from bus.sandbox.onec.odata.paths import Scope, Term, resolve
from bus.sandbox.onec.odata.published import Published
from bus.sandbox.onec.odata.tokens import Token
from bus.sandbox.onec.schema import NAMESPACE, EntitySet, Row, Section

Test = Callable[[Row], bool]
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_SUMS: dict[str, Callable[[Any, Any], Any]] = {"add": operator.add, "sub": operator.sub}
_PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "mul": operator.mul,
    "div": operator.truediv,
    "mod": operator.mod,
}
_WORDS = {"true": True, "false": False}


def compiled(text: str, published: Published, where: EntitySet | Section) -> Test:
    """The test that an expression makes; raises RestError with 1C's code for what it does not understand."""
    reader = _Reader(tokens.split(text), published, where)
    term = reader.expression()
    reader.end()
    if term.kind != "bool":
        raise errors.bad_option("$filter", "выражение не логическое")
    return lambda row: bool(term.get({"": row}))


class _Reader:
    """Recursive descent over the words of one expression."""

    def __init__(self, words: list[Token], published: Published, where: EntitySet | Section) -> None:
        self._words = words
        self._at = 0
        self._published = published
        self._where = where
        self._variables: dict[str, Section] = {}

    def expression(self) -> Term:
        return self._joined("or", lambda: self._joined("and", self._negated))

    def end(self) -> None:
        if self._at < len(self._words):
            raise errors.bad_option("$filter", f"лишнее: {self._words[self._at].value}")

    def _joined(self, word: str, inner: Callable[[], Term]) -> Term:
        parts = [inner()]
        while self._take("name", word):
            parts.append(inner())
        if len(parts) == 1:
            return parts[0]
        joins = any if word == "or" else all
        gets = [_logical(part).get for part in parts]
        return Term("bool", lambda scope: joins(get(scope) for get in gets))

    def _negated(self) -> Term:
        if not self._take("name", "not"):
            return self._comparison()
        inner = _logical(self._negated())
        return Term("bool", lambda scope: not inner.get(scope))

    def _comparison(self) -> Term:
        left = self._sum()
        word = self._peek()
        if word is None or word.kind != "name" or word.value not in _COMPARISONS:
            return left
        self._at += 1
        return _compared(left, word.value, self._sum())

    def _sum(self) -> Term:
        return self._arithmetic(_SUMS, lambda: self._arithmetic(_PRODUCTS, self._primary))

    def _arithmetic(self, signs: dict[str, Callable[[Any, Any], Any]], inner: Callable[[], Term]) -> Term:
        left = inner()
        while (word := self._peek()) and word.kind == "name" and word.value in signs:
            self._at += 1
            left = _calculated(signs[word.value], left, inner())
        return left

    def _primary(self) -> Term:
        word = self._next()
        if word.kind == "sign":
            if word.value != "(":
                raise errors.bad_option("$filter", f"не ожидалось: {word.value}")
            inner = self.expression()
            self._expect(")")
            return inner
        if word.kind != "name":
            return _literal(word.kind, word.value)
        if word.value in _WORDS:
            return _literal("bool", _WORDS[word.value])
        if word.value == "null":
            return _literal("null", None)
        return self._call(word.value) if self._take("sign", "(") else self._path(word.value)

    def _call(self, name: str) -> Term:
        section, _, quantifier = name.rpartition("/")
        if section and quantifier in ("any", "all"):
            return self._lambda(section, quantifier)
        if name in ("cast", "isof"):
            return self._typed(name)
        if name in functions.NOT_IMPLEMENTED:
            raise errors.not_implemented(name)
        if name not in functions.TABLE:
            raise errors.bad_option("$filter", f"функция {name}")
        kind, kinds, function = functions.TABLE[name]
        given = self._arguments()
        if [one.kind for one in given] != list(kinds):
            raise errors.bad_argument(name)
        gets = [one.get for one in given]
        return Term(kind, lambda scope: _applied(function, [get(scope) for get in gets]))

    def _arguments(self) -> list[Term]:
        given = [self.expression()]
        while self._take("sign", ","):
            given.append(self.expression())
        self._expect(")")
        return given

    def _typed(self, name: str) -> Term:
        """cast(guid'…', 'Document_X') makes a reference of it; isof(Поле, 'Document_X') tests a composite's type."""
        value = self.expression()
        self._expect(",")
        word = self._next()
        self._expect(")")
        if word.kind != "string":
            raise errors.bad_option("$filter", name)
        type_name = self._type(str(word.value))
        if name == "isof":
            return Term("bool", lambda scope: _type_of(value, scope) == type_name)
        return Term("any", lambda scope: (value.get(scope), type_name))

    def _type(self, name: str) -> str:
        bare = name.removeprefix(f"{NAMESPACE}.")
        if bare.startswith("Edm.") or bare == "Undefined":
            return bare if bare.startswith("Edm.") else f"{NAMESPACE}.{bare}"
        if bare not in self._published.sets:
            raise errors.no_type(name)
        return f"{NAMESPACE}.{bare}"

    def _lambda(self, section: str, quantifier: str) -> Term:
        """`Товары/any(d: d/Цена gt 10)`."""
        lines = self._where.by_section.get(section) if isinstance(self._where, EntitySet) else None
        if lines is None:
            raise errors.no_property(section)
        variable = str(self._next().value)
        self._expect(":")
        self._variables[variable] = lines
        inner = _logical(self.expression())
        del self._variables[variable]
        self._expect(")")
        joins = any if quantifier == "any" else all
        return Term("bool", lambda scope: joins(inner.get({**scope, variable: line}) for line in scope[""][section]))

    def _path(self, path: str) -> Term:
        head, _, rest = path.partition("/")
        if head in self._variables:
            return resolve(self._published, self._variables[head], rest, head)
        if isinstance(self._where, EntitySet) and head in self._where.by_section:
            raise errors.tabular(head)
        return resolve(self._published, self._where, path)

    def _peek(self) -> Token | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def _next(self) -> Token:
        word = self._peek()
        if word is None:
            raise errors.bad_option("$filter", "неожиданный конец")
        self._at += 1
        return word

    def _take(self, kind: str, value: str) -> bool:
        word = self._peek()
        taken = word is not None and (word.kind, word.value) == (kind, value)
        self._at += taken
        return taken

    def _expect(self, sign: str) -> None:
        if not self._take("sign", sign):
            raise errors.bad_option("$filter", f"ожидалось {sign}")


def _literal(kind: str, value: Any) -> Term:
    return Term(kind, lambda _: value)


def _logical(term: Term) -> Term:
    if term.kind != "bool":
        raise errors.bad_option("$filter", "ожидалось логическое выражение")
    return term


def _compared(left: Term, word: str, right: Term) -> Term:
    kinds = {left.kind, right.kind}
    if kinds & {"guid", "any"} and word not in ("eq", "ne"):
        raise errors.bad_option("$filter", "ссылки сравниваются только на равенство")
    compare = _COMPARISONS[word]
    if "null" in kinds:
        return _literal("bool", word == "ne")
    if "any" in kinds:
        return Term("bool", lambda scope: compare(_pair(left, scope), _pair(right, scope)))
    if len(kinds) > 1:
        raise errors.bad_option("$filter", "несравнимые типы")
    key = functions.same if left.kind == "string" else _itself
    return Term("bool", lambda scope: _ordered(compare, key, left.get(scope), right.get(scope)))


def _ordered(compare: Callable[[Any, Any], bool], key: Callable[[Any], Any], left: Any, right: Any) -> bool:
    """Nothing behind an empty reference equals nothing, and is neither more nor less than anything."""
    if left is None or right is None:
        return compare is operator.ne
    return compare(key(left), key(right))


def _pair(term: Term, scope: Scope) -> Any:
    """A value with its type; a plain literal has the type that a composite keeps for it."""
    if term.kind == "any":
        return term.get(scope)
    return (term.get(scope), {"string": "Edm.String", "number": "Edm.Double", "bool": "Edm.Boolean"}.get(term.kind))


def _type_of(term: Term, scope: Scope) -> str:
    pair = _pair(term, scope)
    return str(pair[1]) if pair else ""


def _calculated(sign: Callable[[Any, Any], Any], left: Term, right: Term) -> Term:
    if {left.kind, right.kind} != {"number"}:
        raise errors.bad_option("$filter", "арифметика только над числами")
    return Term("number", lambda scope: _applied(sign, [left.get(scope), right.get(scope)]))


def _applied(function: Callable[..., Any], given: list[Any]) -> Any:
    return None if any(one is None for one in given) else function(*given)


def _itself(value: Any) -> Any:
    return value
