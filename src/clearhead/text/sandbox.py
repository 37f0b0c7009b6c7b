"""The Jinja environment that chat templates run in: what transformers gives them, and nothing that can do harm.

Jinja's immutable sandbox keeps a template away from Python's insides, but lets it compute without end. So this one
also names the few attributes, filters and functions that chat templates use, and has every loop, call, concatenation,
list and output charged to the `Meter` of the rendering. Operations that Jinja offers no hook for are rewritten in the
parsed template into filters of our own.
"""

from functools import lru_cache
from typing import Any

from jinja2 import Environment, Template, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from clearhead.text.meter import LARGEST_INTEGER, METER
from clearhead.text.template_filters import (
    ALL_FILTERS,
    COMPARED,
    COUNTED,
    FUNCTIONS,
    JOINED,
    WEIGHED,
    charge_method,
    compared,
    output,
)

LONGEST_TEMPLATE = 2**16  # characters; the longest in use has about 20,000

STRING_METHODS = """
    capitalize count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle
    isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split
    splitlines startswith strip swapcase title upper
"""
LOOP = """
    changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0
"""
ATTRIBUTES: tuple[tuple[type, frozenset[str]], ...] = (
    (str, frozenset(STRING_METHODS.split())),
    (dict, frozenset({"get", "items", "keys", "values"})),
    (list, frozenset({"count", "index"})),
    (tuple, frozenset({"count", "index"})),
    (LoopContext, frozenset(LOOP.split())),
)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja with an allowance; render with METER set."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # the optimiser would run filters while compiling, before there is a meter
            finalize=pass_context(lambda context, value: output(value)),
            extensions=[loopcontrols, Generation],
        )
        self.filters = dict(ALL_FILTERS)
        self.globals = dict(FUNCTIONS)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Only what is listed, by the type of the object; a namespace holds what the template put there."""
        if attr.startswith("_"):
            return False
        if isinstance(obj, Namespace | TemplateReference | Undefined):
            return True
        return any(isinstance(obj, kind) and attr in names for kind, names in ATTRIBUTES)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Say so at once; Jinja would print nothing and go on."""
        raise SecurityError(f"{attribute!r} of {type(obj).__name__!r} is not for templates")

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` is refused like any attribute that is not listed."""
        return None

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An attribute, or the entry of that name; names with an underscore in front are nobody's."""
        return self.unsafe_undefined(obj, attribute) if attribute.startswith("_") else super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An entry of a list or dictionary; a key of many parts is charged, for it has to be compared."""
        compared(argument)
        return super().getitem(obj, argument)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function, macro or method, its cost charged first."""
        METER.get().step()
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            args = charge_method(owner, obj.__name__, args)
        elif isinstance(owner, list | tuple | dict):
            METER.get().weigh([owner, *args] if obj.__name__ in ("count", "index") else args)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on sizes that were checked."""
        METER.get().step()
        check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)


def check_operands(operator: str, left: Any, right: Any) -> None:
    """Refuse results out of all proportion, and charge for texts and lists about to be made."""
    meter = METER.get()
    texts = [x for x in (left, right) if isinstance(x, str | list | tuple)]
    if operator == "%" and texts:
        raise SecurityError("'%' formatting is not for templates")
    if texts and operator == "*":
        times = next((x for x in (left, right) if isinstance(x, int)), 0)
        meter.grow(max(0, meter.weigh(texts[0]) * times))
    elif texts:
        meter.grow(sum(map(len, texts)))
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 1) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > LARGEST_INTEGER:
            raise SecurityError(f"whole numbers beyond {LARGEST_INTEGER} bits are not for templates")


class Generation(Extension):
    """`{% generation %}` marks what an assistant wrote, for training; here it is only a scope."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own way of declaring it)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)


class Charge(NodeTransformer):
    """Rewrites what Jinja compiles straight to Python: loops, `~`, list displays, and the template's own text."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise SecurityError("recursive loops are not for templates")
        node = self.generic_visit(node)  # type: ignore[assignment]
        node.iter = filtered(node.iter, COUNTED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        node = self.generic_visit(node)  # type: ignore[assignment]
        return filtered(nodes.List(node.nodes, lineno=node.lineno), JOINED)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        node = self.generic_visit(node)  # type: ignore[assignment]
        node.expr = filtered(node.expr, COMPARED)
        for operand in node.ops:
            operand.expr = filtered(operand.expr, COMPARED)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return filtered(self.generic_visit(node), WEIGHED)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return filtered(self.generic_visit(node), WEIGHED)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        node = self.generic_visit(node)  # type: ignore[assignment]
        return filtered(node, WEIGHED) if node.ctx == "load" else node

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        return nodes.Const(node.data, lineno=node.lineno)  # constants pass through `output`


def filtered(node: Any, name: str) -> nodes.Filter:
    """The node behind one of our own filters."""
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@lru_cache(maxsize=16)
def compiled(template: str) -> Template:
    """A template ready to render; the last few are kept.

    Raises:
        jinja2.TemplateError, RecursionError and others: it is malformed or far too long.
    """
    if len(template) > LONGEST_TEMPLATE:
        raise SecurityError(f"it has {len(template)} characters; a chat template has at most {LONGEST_TEMPLATE}")
    environment: Environment = Sandbox()
    tree = Charge().visit(environment.parse(template))
    return Template.from_code(environment, environment.compile(tree), environment.make_globals(None))
