"""A source as it reads once its own macros are expanded, so that nothing hides behind them.

Follows Prosser's algorithm (the one that the C standard describes): arguments are expanded first
unless `#` or `##` stands beside them, results are read again, and no macro is expanded inside of
itself. Macros of headers stay as they are, but those that only pass their arguments through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hipopt.source.macros import Macro, parse_macro
from hipopt.source.tokens import (
    Token,
    TokenKind,
    code_tokens,
    directive_argument,
    directive_name,
    tokenize,
)

MOST_TOKENS = 300_000
"""Tokens that an expansion may grow to; what is beyond is a bomb, and no kernel."""

_PASSING = (
    Macro("HIP_SYMBOL", ("x",), "x"),
    Macro("HIP_KERNEL_NAME", ("...",), "__VA_ARGS__"),
)


class TooLarge(Exception):
    """The expansion has more than `MOST_TOKENS` tokens."""


class _Spelled(NamedTuple):
    """A token on its way through the expansion."""

    kind: TokenKind
    text: str
    start: int
    """Where in the source the outermost use that it comes from begins."""
    hidden: frozenset[str] = frozenset()
    """The macros that it came out of."""


def expand(tokens: Iterable[Token]) -> list[Token]:
    """The code tokens with all macros expanded that the directives among them define.

    Raises:
        TooLarge: there would be no end of it.
    """
    stream = deque(_Spelled(t.kind, t.text, t.start) for t in tokens)
    expanded = _Expansion().run(stream)
    return [Token(t.kind, t.text, t.start) for t in expanded]


class _Expansion:
    """The macros defined so far, and how much they have made."""

    def __init__(self) -> None:
        self._macros = {macro.name: macro for macro in _PASSING}
        self._made = 0

    def run(self, stream: deque[_Spelled]) -> list[_Spelled]:
        """The stream, used up, with its macros expanded."""
        out: list[_Spelled] = []
        while stream:
            token = stream.popleft()
            if token.kind == "directive":
                self._obey(token.text)
                continue
            macro = self._macro(token)
            result = None if macro is None else self._use(macro, token, stream)
            if result is None:
                out.append(token)
            else:
                stream.extendleft(reversed(result))
        return out

    def _obey(self, directive: str) -> None:
        macro = parse_macro(directive)
        if macro is not None:
            self._macros[macro.name] = macro
        elif directive_name(directive) == "undef":
            self._macros.pop(directive_argument(directive), None)

    def _macro(self, token: _Spelled) -> Macro | None:
        if token.kind != "word" or token.text in token.hidden:
            return None
        return self._macros.get(token.text)

    def _use(self, macro: Macro, token: _Spelled, stream: deque[_Spelled]) -> list[_Spelled] | None:
        """What one use stands for; None where a macro with parameters is only named."""
        arguments: list[list[_Spelled]] = []
        hidden = token.hidden
        if macro.parameters is not None:
            taken = _take_arguments(stream)
            if taken is None:
                return None
            arguments, closing = taken
            hidden = hidden & closing.hidden
        made = self._substitute(macro, _named(macro, arguments), token.start)
        self._made += len(made)
        if self._made > MOST_TOKENS:
            raise TooLarge
        hidden = hidden | {macro.name}
        return [t._replace(hidden=t.hidden | hidden, start=token.start) for t in made if t.text]

    def _substitute(
        self, macro: Macro, arguments: dict[str, list[_Spelled]], start: int
    ) -> list[_Spelled]:
        """The macro's body with its arguments in place, `#` and `##` done."""
        body = _body(macro)
        out: list[_Spelled] = []
        at = 0
        while at < len(body):
            token = body[at]
            following = body[at + 1] if at + 1 < len(body) else None
            if token.text == "#" and following is not None and following.text in arguments:
                out.append(_quoted(arguments[following.text], start))
                at += 2
            elif token.text == "##" and following is not None:
                _paste(out, arguments.get(following.text, [following]))
                at += 2
            else:
                is_pasted = following is not None and following.text == "##"
                out += self._operand(token, arguments, is_pasted=is_pasted)
                at += 1
        return out

    def _operand(
        self, token: _Spelled, arguments: dict[str, list[_Spelled]], *, is_pasted: bool
    ) -> list[_Spelled]:
        argument = arguments.get(token.text)
        if argument is None:
            return [token] if token.text != "__VA_OPT__" else []
        if is_pasted:
            return argument or [_Spelled("space", "", token.start)]
        return self.run(deque(argument))


def _body(macro: Macro) -> list[_Spelled]:
    # A word in front: a body that begins with '#' is no preprocessor line.
    return [_Spelled(t.kind, t.text, 0) for t in code_tokens(f"_ {macro.body}")[1:]]


def _take_arguments(
    stream: deque[_Spelled],
) -> tuple[list[list[_Spelled]], _Spelled] | None:
    """The arguments that follow, taken off the stream, with the closing bracket; None: no use."""
    arguments: list[list[_Spelled]] = [[]]
    nest = 0
    for count, token in enumerate(stream):
        if token.kind == "directive":
            continue
        if nest == 0 and token.text != "(":
            return None
        nest += (token.text == "(") - (token.text == ")")
        if nest == 0:
            for _ in range(count + 1):
                stream.popleft()
            return arguments, token
        if (nest, token.text) == (1, ","):
            arguments.append([])
        elif (nest, token.text) != (1, "("):
            arguments[-1].append(token)
    return None


def _named(macro: Macro, arguments: Sequence[list[_Spelled]]) -> dict[str, list[_Spelled]]:
    """The arguments by the names of their parameters; what is too much goes to a `...`."""
    named: dict[str, list[_Spelled]] = {}
    for index, parameter in enumerate(macro.parameters or ()):
        if not parameter.endswith("..."):
            named[parameter] = list(arguments[index]) if index < len(arguments) else []
            continue
        rest: list[_Spelled] = []
        for more in arguments[index:]:
            rest += [_Spelled("punctuation", ",", 0), *more] if rest else more
        named[parameter.removesuffix("...").strip() or "__VA_ARGS__"] = rest
    return named


def _quoted(argument: Sequence[_Spelled], start: int) -> _Spelled:
    text = " ".join(t.text for t in argument)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return _Spelled("string", f'"{escaped}"', start)


def _paste(out: list[_Spelled], right: Sequence[_Spelled]) -> None:
    """`out` ends with its last token and the first of `right` made one."""
    if not right:
        return
    first = right[0]
    left = out.pop() if out else _Spelled("space", "", first.start)
    if left.text == ",":  # `, ## __VA_ARGS__` only drops the comma where nothing follows
        out += [left, *right]
        return
    text = left.text + first.text
    kind = next((t.kind for t in tokenize(text) if t.text == text), first.kind)
    out += [_Spelled(kind, text, left.start, left.hidden & first.hidden), *right[1:]]
