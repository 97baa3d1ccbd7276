"""Which buffers hold flags: all that is read of them is only asked whether it is zero or one."""

from __future__ import annotations

from collections.abc import Callable

from tree_sitter import Node

from hipopt.source.tree import span, walk

_READS = frozenset({"identifier", "subscript_expression", "pointer_expression"})
_CONDITIONS = frozenset({"if_statement", "while_statement", "do_statement", "for_statement"})
_FLAGS = frozenset({"0", "1", "0u", "1u", "true", "false"})


def flags(root: Node, text: str, atoms: Callable[[Node], frozenset[str]]) -> set[str]:
    """Pointers whose elements, also by way of variables, are flags, and are asked at least once.

    Args:
        root: the kernel's tree.
        text: what it was read from.
        atoms: where an expression's value comes from, as in `usage.Atoms`.
    """
    asked: set[str] = set()
    used: set[str] = set()
    for node in walk(root):
        if node.type not in _READS:
            continue
        loaded = {atom[1:] for atom in atoms(node) if atom.startswith("*")}
        if not loaded or _is_within_read(node):
            continue
        use = _use(node, text)
        if use == "asked":
            asked |= loaded
        elif use == "used":
            used |= loaded
    return asked - used


def _is_within_read(node: Node) -> bool:
    """Whether it is what is subscripted or pointed through, and so no value of its own."""
    outer = node.parent
    if outer is None or outer.type not in ("subscript_expression", "pointer_expression"):
        return False
    return outer.child_by_field_name("argument") == node


def _use(node: Node, text: str) -> str:
    """`asked` whether it is zero or one, `kept` in a variable or stored to, or `used` else."""
    inner, outer = node, node.parent
    while outer is not None and outer.type in ("parenthesized_expression", "condition_clause"):
        inner, outer = outer, outer.parent
    if outer is None:
        return "used"
    operator = outer.child_by_field_name("operator")
    sign = span(text, operator) if operator is not None else ""
    if outer.type in _CONDITIONS or sign in ("!", "&&", "||"):
        return "asked"
    if outer.type == "conditional_expression":
        return "asked" if outer.child_by_field_name("condition") == inner else "used"
    if outer.type == "binary_expression" and sign in ("==", "!="):
        sides = (outer.child_by_field_name(field) for field in ("left", "right"))
        others = [span(text, side) for side in sides if side is not None and side != inner]
        return "asked" if others and _FLAGS.issuperset(others) else "used"
    assigned = outer.type == "assignment_expression" and sign == "=" and _is_side(outer, inner)
    return "kept" if assigned or outer.type == "init_declarator" else "used"


def _is_side(assignment: Node, side: Node) -> bool:
    """Whether it is what is assigned to, or assigned to a variable."""
    left = assignment.child_by_field_name("left")
    return left == side or (left is not None and left.type == "identifier")
