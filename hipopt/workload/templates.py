"""Which template arguments a kernel may be tried with."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from hipopt.source.capsule import Capsule, Launch
from hipopt.source.folding import fold_number
from hipopt.source.launches import names_of
from hipopt.source.usage import Body
from hipopt.workload.blocks import body_names
from hipopt.workload.plan import MAX_LDS_BYTES

MAX_TRIED = 6
_USUAL_BYTES = 4

_TYPE = re.compile(r"^(?:typename|class)\s+(\w+)$")
_VALUE = re.compile(r"^(?:const\s+)?((?:\w+::)*\w+(?:\s+\w+)*?)\s+(\w+)$")
_KNOWN_TYPES = re.compile(
    r"^(?:const\s+)?(?:float|double|int|char|short|long|long long|unsigned(?: \w+)*|bool|"
    r"__half|half|"
    r"hip_bfloat16|__hip_bfloat16|u?int(?:8|16|32|64)_t|size_t|[a-z]+[234]|uint)$"
)
_DISPATCHED = frozenset({"scalar_t", "T", "Dtype", "DType", "input_t", "output_t", "acc_t"})
_INTEGER_NAMES = re.compile(r"^(?:I|Int|Index|IndexT|index_t|idx_t|int_t|IndexType|Offset\w*)$")
_FUNCTOR_NAMES = re.compile(r"^(?:F|Op|Func\w*|Functor|\w*Op|\w*Functor|BinaryOp\w*|UnaryOp\w*)$")


def template_options(body: Body) -> tuple[tuple[str, ...], ...]:
    """Argument lists worth compiling, the likeliest first; `()` alone for a plain kernel."""
    declared = body.capsule.template_parameters
    if not declared:
        return ((),)
    if any("..." in d for d in declared):
        return ()
    options = dict.fromkeys([*_from_host(body.capsule, declared), *_usual(body, declared)])
    return tuple(sorted(options, key=lambda option: not _fits_lds(body, option)))[:MAX_TRIED]


def _fits_lds(body: Body, arguments: tuple[str, ...]) -> bool:
    """Whether each static shared array, of 4-byte elements, fits into LDS with these arguments."""
    names = body_names(body, template_values(body.capsule, arguments)[1])
    for shape in body.usage.lds_shapes:
        sides = [fold_number(side, names) for side in shape]
        known = [side for side in sides if side is not None]
        if len(known) == len(sides) and math.prod(known) * _USUAL_BYTES > MAX_LDS_BYTES:
            return False
    return True


def template_names(declared: Sequence[str]) -> tuple[str, ...]:
    """The names of template parameters as declared."""
    return tuple(re.split(r"\s+", d.strip())[-1] for d in declared)


def template_values(
    capsule: Capsule, arguments: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, int]]:
    """The template's types by name, and its integers by name."""
    pairs = list(zip(template_names(capsule.template_parameters), arguments, strict=False))
    integers = {n: _integer(a) for n, a in pairs if re.fullmatch(r"true|false|-?\d+", a)}
    return {n: a for n, a in pairs if n not in integers}, integers


def _integer(text: str) -> int:
    return int(text == "true") if text in ("true", "false") else int(text)


def _from_host(capsule: Capsule, declared: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for launch in capsule.launches:
        written = [_settled(a, launch) for a in launch.template]
        defaults = _defaults(capsule)
        rest = [defaults.get(name) for name in template_names(declared)[len(written) :]]
        found = [*written, *rest][: len(declared)]
        if written and all(found):
            yield tuple(a for a in found if a is not None)


def _settled(argument: str, launch: Launch) -> str | None:
    """The argument as any capsule can name it: a type's name, a number; None where unknown."""
    argument = " ".join(argument.split())
    for _ in range(4):
        if _KNOWN_TYPES.match(argument):
            return argument
        if argument in _DISPATCHED:
            return "float"
        if argument in ("true", "false"):
            return argument
        number = fold_number(argument, names_of(launch, {}))
        if number is not None:
            return str(int(number))
        definitions = dict(launch.definitions)
        if argument not in definitions:
            return None
        argument = " ".join(definitions[argument].split())
    return None


def _defaults(capsule: Capsule) -> dict[str, str]:
    """Default arguments in the kernel's template header."""
    header = re.match(r"\s*template\s*<([\s\S]*?)>\s*(?:__|static|extern|inline|void)",
                      capsule.kernel_text)  # fmt: skip
    parts = header[1].split(",") if header else []
    pairs = (p.split("=", 1) for p in parts if "=" in p)
    return {left.split()[-1]: right.strip() for left, right in pairs}


def _usual(body: Body, declared: Sequence[str]) -> Iterator[tuple[str, ...]]:
    defaults = _defaults(body.capsule)
    choices = []
    for text in declared:
        own = [defaults[name] for name in template_names([text]) if name in defaults]
        choices.append([*own, *_choices(text, body)])
    ranked = itertools.product(*(enumerate(c) for c in choices))
    for picked in sorted(itertools.islice(ranked, 4096), key=lambda p: sum(r for r, _ in p)):
        yield tuple(argument for _, argument in picked)


def _choices(declared: str, body: Body) -> list[str]:
    match = _TYPE.match(declared.strip())
    if match:
        return _types(match[1], body)
    match = _VALUE.match(declared.strip())
    if not match:
        return []
    if match[1] == "bool":
        return ["true", "false"]
    return _numbers(match[2], body)


def _types(name: str, body: Body) -> list[str]:
    functors = [
        p.qualified_name for p in body.file.pieces
        if p.kind == "type" and p.names and "template" not in p.uses
        and re.search(r"operator\s*\(\s*\)", p.text)
    ]  # fmt: skip
    if _FUNCTOR_NAMES.match(name):
        return [*functors, "std::plus<float>", "std::plus<int>"]
    if _INTEGER_NAMES.match(name):
        return ["int", "unsigned int", "float"]
    return ["float", "int", "double", "unsigned int", "__half"]


def _numbers(name: str, body: Body) -> list[str]:
    flat = "ty" not in body.usage.indices
    lower = name.lower()
    rules: Mapping[str, Sequence[int]] = {
        r"warp|wave|lane": (64, 32),
        r"block|thread|wg|group|bs$|tpb|cta|tile": (256, 128, 64, 32, 16) if flat else (16, 32, 8),
        r"item|unroll|vec|per|ilp|elem": (4, 2, 1),
        r"dim|width|height|size|cols|rows": (64, 32, 16),
        r"radius|mask|window|filter|kernel|taps|order|degree": (5, 3),
    }
    for pattern, values in rules.items():
        if re.search(pattern, lower):
            return [str(v) for v in values]
    return ["4", "16", "64", "256", "1"]
