"""Generate the descriptor sets and type stubs of netc/schema from proto/*.proto.

    python tools/generate_schema.py            write them
    python tools/generate_schema.py --check    exit with status 1 if a file is out of date

Three files are generated from each proto/NAME.proto: NAME.bin (a serialized FileDescriptorSet), NAME.py (loads it),
NAME.pyi (its types). The reader supports the part of proto2 that is used: messages and enums, also nested, and the
field options `default`, `packed` and `deprecated`. It does not need protoc, so a test can compare the files.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
TOKEN = re.compile(r"""\s+|//[^\n]*|(?P<token>"[^"\\\n]*"|[A-Za-z_][\w.]*|-?[\d.][\w.]*(?:[-+]\d+)?|[{}\[\]=;,])""")
LABELS = {"optional": 1, "required": 2, "repeated": 3}
SCALARS = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13,
}  # fmt: skip
MESSAGE, ENUM = 11, 14
INTEGERS = dict.fromkeys((3, 4, 5, 13, ENUM), "int")
PYTHON = {1: "float", 2: "float", 8: "bool", 9: "str", 12: "bytes"} | INTEGERS


class Reader:
    """Reads one .proto file, token by token."""

    def __init__(self, name: str, text: str) -> None:
        self.file = FileDescriptorProto(name=name)
        self.name = name
        self.tokens = list(self._split(text))
        self.at = 0

    def _split(self, text: str) -> Iterator[tuple[str, int]]:
        at, line = 0, 1
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None:
                raise SystemExit(f"{self.name}:{line}: cannot read {text[at]!r}")
            if match["token"]:
                yield match["token"], line
            line += match[0].count("\n")
            at = match.end()

    def take(self, *wanted: str) -> str:
        """The next token, which must be one of `wanted`, if any."""
        token, line = self.tokens[self.at] if self.at < len(self.tokens) else ("end of file", 0)
        if wanted and token not in wanted:
            raise SystemExit(f"{self.name}:{line}: expected {' or '.join(wanted)}, found {token}")
        self.at += 1
        return token

    def word(self) -> str:
        """The next token, which is followed by `;`."""
        token = self.take()
        self.take(";")
        return token

    def read(self) -> FileDescriptorProto:
        """The whole file, with type names resolved."""
        while self.at < len(self.tokens):
            keyword = self.take("syntax", "package", "message", "enum")
            if keyword == "syntax":
                self.take("=")
                if self.word() != '"proto2"':
                    raise SystemExit(f"{self.name}: only proto2 is supported")
            elif keyword == "package":
                self.file.package = self.word()
            elif keyword == "message":
                self.message(self.file.message_type.add())
            else:
                self.enum(self.file.enum_type.add())
        kinds = dict(types(self.file, f".{self.file.package}"))
        for message in self.file.message_type:
            resolve(message, f".{self.file.package}.{message.name}", kinds)
        return self.file

    def message(self, into: DescriptorProto) -> None:
        """Read a message after its keyword."""
        into.name = self.take()
        self.take("{")
        while (token := self.take("message", "enum", *LABELS, "}")) != "}":
            if token == "message":
                self.message(into.nested_type.add())
            elif token == "enum":
                self.enum(into.enum_type.add())
            else:
                self.field(into.field.add(), token)

    def enum(self, into: EnumDescriptorProto) -> None:
        """Read an enum after its keyword."""
        into.name = self.take()
        self.take("{")
        while (token := self.take()) != "}":
            self.take("=")
            into.value.add(name=token, number=int(self.word()))

    def field(self, into: FieldDescriptorProto, label: str) -> None:
        """Read a field after its label."""
        into.label = LABELS[label]
        kind = self.take()
        if kind in SCALARS:
            into.type = SCALARS[kind]
        else:
            into.type_name = kind
        into.name = self.take()
        self.take("=")
        into.number = int(self.take())
        into.json_name = re.sub("_+(.?)", lambda match: match[1].upper(), into.name)
        end = self.take("[", ";")
        while end != ";":
            option = self.take("default", "packed", "deprecated")
            self.take("=")
            self.option(into, option, self.take())
            end = self.take(",", "]")
            end = self.take(";") if end == "]" else end

    def option(self, into: FieldDescriptorProto, option: str, value: str) -> None:
        """Set one `option = value` of a field."""
        if option != "default":
            setattr(into.options, option, value == "true")
        elif value.startswith('"'):
            into.default_value = value[1:-1]
        elif not into.type_name and into.type in (SCALARS["float"], SCALARS["double"]):
            into.default_value = number(float(value))
        else:
            into.default_value = value


def number(value: float) -> str:
    """A default value as stored by protoc: the shortest digits, no `.0`, two digits of exponent.

    >>> number(1e-8), number(-1.0), number(0.999)
    ('1e-08', '-1', '0.999')
    """
    return f"{value:.15g}"


def types(scope: FileDescriptorProto | DescriptorProto, name: str) -> Iterator[tuple[str, int]]:
    """The full names of the messages and enums in a file or message, each with its field type."""
    messages = scope.message_type if isinstance(scope, FileDescriptorProto) else scope.nested_type
    for enum in scope.enum_type:
        yield f"{name}.{enum.name}", ENUM
    for message in messages:
        yield f"{name}.{message.name}", MESSAGE
        yield from types(message, f"{name}.{message.name}")


def resolve(message: DescriptorProto, scope: str, kinds: dict[str, int]) -> None:
    """Replace the type names of a message's fields by full names, searched from the innermost scope outwards."""
    for field in message.field:
        if not field.type_name:
            continue
        around = scope
        while f"{around}.{field.type_name}" not in kinds:
            if not around:
                raise SystemExit(f"{scope[1:]}.{field.name}: unknown type {field.type_name}")
            around = around.rpartition(".")[0]
        field.type_name = f"{around}.{field.type_name}"
        field.type = kinds[field.type_name]
    for nested in message.nested_type:
        resolve(nested, f"{scope}.{nested.name}", kinds)


LOADER = '''"""The messages of proto/{name}.proto, made on first use; by tools/generate_schema.py, do not edit."""

from netc.schema._loader import Package

_package = Package("{name}")
DESCRIPTOR = _package.descriptor
__getattr__ = _package.member
'''

STUB = '''"""The messages of proto/{name}.proto. Generated by tools/generate_schema.py, do not edit."""

from collections.abc import Iterable, Mapping, MutableSequence
from typing import Any

from netc.schema._types import Enum, Message, Messages

DESCRIPTOR: Any'''


def stub(file: FileDescriptorProto) -> str:
    """The .pyi of a file."""
    lines = [STUB.format(name=file.package)]
    for enum in file.enum_type:
        lines += ["", *stub_enum(enum)]
    for message in file.message_type:
        lines += ["", *stub_message(message)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def stub_enum(enum: EnumDescriptorProto) -> list[str]:
    """The wrapper of an enum and its values."""
    return [f"{enum.name}: Enum", *(f"{value.name}: int" for value in enum.value)]


def stub_message(message: DescriptorProto) -> list[str]:
    """A message's class."""
    lines = [f"class {message.name}(Message):"]
    for nested in message.nested_type:
        lines += [*("    " + line for line in stub_message(nested)), ""]
    for enum in message.enum_type:
        lines += ["    " + line for line in stub_enum(enum)]
    arguments = []
    for field in message.field:
        if keyword.iskeyword(field.name):
            continue  # only getattr reaches it
        value, argument = python_types(field)
        if field.type == MESSAGE or field.label == LABELS["repeated"]:
            lines += ["    @property", f"    def {field.name}(self) -> {value}: ..."]
        else:
            lines.append(f"    {field.name}: {value}")
        arguments.append(f"{field.name}: {argument} = ...")
    return lines + ["    " + line for line in stub_constructor(arguments)]


def stub_constructor(arguments: list[str]) -> list[str]:
    """The constructor, on as few lines as the formatter produces (120 columns, 4 of them the class's indentation)."""
    shortest = ", ".join(["self", "*", *arguments] if arguments else ["self"])
    head, tail = "def __init__(", ") -> None: ..."
    if len(head + shortest + tail) <= 116:
        return [head + shortest + tail]
    one_a_line = (line for argument in ["self", "*", *arguments] for line in wrapped(f"{argument},"))
    inside = [shortest] if len(shortest) <= 112 else list(one_a_line)
    return [head, *("    " + line for line in inside), tail]


def wrapped(argument: str) -> list[str]:
    """An argument on as many lines as the formatter produces: one, or one for each type of the union."""
    if len(argument) <= 112:
        return [argument]
    first, *rest = argument.split(" | ")
    return [first, *(f"| {one}" for one in rest)]


def python_types(field: FieldDescriptorProto) -> tuple[str, str]:
    """The types of a field's value and of its argument in the constructor."""
    repeated = field.label == LABELS["repeated"]
    if field.type == MESSAGE:
        name = field.type_name.split(".", 2)[2]
        single = f"{name} | Mapping[str, Any] | None"
        return (f"Messages[{name}]", f"Iterable[{name} | Mapping[str, Any]] | None") if repeated else (name, single)
    name = PYTHON[field.type]
    argument = f"{name} | str" if field.type == ENUM else name
    return (f"MutableSequence[{name}]", f"Iterable[{argument}] | None") if repeated else (name, f"{argument} | None")


def generate(proto: Path) -> dict[str, bytes]:
    """The files of netc/schema for one .proto: content by file name."""
    file = Reader(proto.name, proto.read_text(encoding="utf-8")).read()
    return {
        f"{proto.stem}.bin": FileDescriptorSet(file=[file]).SerializeToString(deterministic=True),
        f"{proto.stem}.py": LOADER.format(name=proto.stem).encode(),
        f"{proto.stem}.pyi": stub(file).encode(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or only compare them."""
    parser = argparse.ArgumentParser(description="Generate netc/schema from proto/.")
    parser.add_argument(
        "--check", action="store_true", help="only compare; exit with status 1 if a file is out of date"
    )
    check = parser.parse_args(arguments).check
    stale = False
    for proto in sorted((ROOT / "proto").glob("*.proto")):
        for name, content in generate(proto).items():
            path = ROOT / "netc" / "schema" / name
            if path.is_file() and path.read_bytes() == content:
                continue
            stale = True
            print(f"{path.relative_to(ROOT)} is stale" if check else f"wrote {path.relative_to(ROOT)}")
            if not check:
                path.write_bytes(content)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
