"""Layers in place of well-known classes of Python layers, whose code is neither needed nor run.

A class is recognized by its module and name (`register(..., python=...)`). The text that the net file passes to it,
`param_str`, is parsed as data, and its keys are the fields of the layer. Where Python layers are allowed to run, and
the class of that name can be imported, the user's own class runs (`netc.runtime.python_host`).
"""

from __future__ import annotations

import ast
import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Self

from netc.diagnostics import did_you_mean
from netc.ir.fields import Fields
from netc.ir.layer import Layer, fail
from netc.layers.python import Python, PythonData

MOST_CHARACTERS = 100_000
"""Maximum length of a `param_str` that is parsed."""
_WORDS = {"true": True, "yes": True, "false": False, "no": False, "null": None, "none": None, "~": None}
"""YAML's words that are not Python's."""
_OWN = ("module_name", "class_name", "param_str")


@dataclass(frozen=True)
class PythonReplacement(Layer):
    """Base of layers in place of Python layers: each further field is a key of `param_str`."""

    module_name: str = field(default="", kw_only=True)
    """Name of the Python module in the file; empty for the first class that the layer replaces."""
    class_name: str = field(default="", kw_only=True)
    """Name of the class in the file; empty for the first class that the layer replaces."""
    param_str: str = field(default="", kw_only=True, compare=False, repr=False)
    """The text in the file that holds the other parameters."""

    ignored_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys of `param_str` that the original class does not read, or that change nothing here."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `python_param`. Raises NetcError E103 for a `param_str` that this layer cannot represent."""
        p = layer.message("python_param")
        text = p["param_str"]
        return cls(**cls._read(text), module_name=p["module"], class_name=p["layer"], param_str=text)

    @classmethod
    def _read(cls, text: str) -> dict[str, Any]:
        own = {f.name: f for f in dataclasses.fields(cls) if f.name not in _OWN}
        given = {key: value for key, value in param_values(text).items() if key not in cls.ignored_keys}
        for key in given.keys() - own.keys():
            _refuse(f"unknown key `{key}` in `param_str`", did_you_mean(key, own))
        return {key: _converted(own[key], value) for key, value in given.items()}

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """`module` and `layer`, or `param_str`."""
        names = {"module_name": "module", "class_name": "layer"}
        return (f"python_param.{names.get(parameter, 'param_str')}",)

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message; `param_str` is the file's text where it holds the same values."""
        module, _, name = self.python_classes[0].rpartition(".")
        names = {"module": self.module_name or module, "layer": self.class_name or name}
        text = self._text()
        return {**names, **({"param_str": text} if text else {})}

    def _text(self) -> str:
        fields = [f for f in dataclasses.fields(self) if f.name not in _OWN]
        values = {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}
        try:
            kept = self._read(self.param_str)
        except ValueError:
            kept = {}
        same = {key: value for key, value in kept.items() if value != type(self).__dataclass_fields__[key].default}
        if self.param_str and same == values:
            return self.param_str
        return "\n".join(f"{key!r}: {self.written(key, value)}" for key, value in values.items())

    def written(self, name: str, value: Any) -> str:
        """A value in the text of `param_str`, as the original class reads it."""
        return repr(_plain(value))

    def original(self) -> Python:
        """The Python layer that the file describes."""
        p = self.to_caffe()
        cls = PythonData if self.is_data else Python
        return cls(p["module"], p["layer"], self.param_str or p.get("param_str", ""))


def param_values(text: str) -> dict[str, Any]:
    r"""Return the keys and values of a `param_str`: a Python or JSON dict, or YAML with one key per line.

    Nothing is evaluated. Raises NetcError E103 for text that is none of these.

    >>> param_values("'feat_stride': 16"), param_values("{'split': 'train', 'mean': (104.0, 116.7)}")
    ({'feat_stride': 16}, {'split': 'train', 'mean': (104.0, 116.7)})
    >>> param_values("feat_stride: 16\nscales: [8, 16]\nshuffle: true")
    {'feat_stride': 16, 'scales': [8, 16], 'shuffle': True}
    """
    if len(text) > MOST_CHARACTERS:
        _refuse(f"`param_str` of {len(text):,} characters is longer than {MOST_CHARACTERS:,}")
    found = _mapping(text.strip())
    if found is None or not all(isinstance(key, str) for key in found):
        _refuse("cannot parse `param_str` as keys and values")
    return found


def _mapping(text: str) -> dict[Any, Any] | None:
    for read, one in ((_literal, text or "{}"), (_json, text), (_literal, "{" + text + "}")):
        found = read(one)
        if isinstance(found, dict):
            return found
    pairs = [line.partition(":") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not pairs or text[0] in "{[" or not all(colon and key.strip() for key, colon, _ in pairs):
        return None
    return {key.strip().strip("'\""): _scalar(value.strip()) for key, _, value in pairs}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _scalar(text: str) -> Any:
    """Return a value of a line: a Python literal, one of YAML's words, or text without quotes."""
    found = _literal(text)
    if found is None:
        found = _json(text)
    return _WORDS.get(text.lower(), text) if found is None else found


def _converted(own: dataclasses.Field[Any], value: Any) -> Any:
    """Return a value with the type of the field's default."""
    default = own.default
    if default is None or (isinstance(default, str) and isinstance(value, str)):
        return _tuple(value)
    if isinstance(default, tuple) and isinstance(value, (list, tuple, int, float, str)):
        return _tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if isinstance(default, bool):
        if value in (0, 1):
            return bool(value)
    elif isinstance(default, float) and isinstance(value, (int, float)):
        return float(value)
    elif isinstance(default, int) and isinstance(value, (int, float)) and value % 1 == 0:
        return int(value)
    wanted = {bool: "a boolean", int: "an integer", float: "a number", str: "text"}.get(type(default), "a list")
    return _refuse(f"`{own.name}` in `param_str` is `{str(value)[:40]}`: expected {wanted}")


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    return list(map(_plain, value)) if isinstance(value, tuple) else value


def _refuse(message: str, help: str | None = None) -> NoReturn:
    own = "`--dialect bvlc --allow-python-layers` runs the class that the file names"
    fail(message, code="E103", field="python_param.param_str", help=help or own)
