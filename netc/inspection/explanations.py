"""explain: the page of a code, of a layer type, or of an operator of Caffe2."""

from __future__ import annotations

import re

from netc.diagnostics import NetcError, did_you_mean
from netc.inspection.error_pages import code_page, codes
from netc.inspection.layer_pages import layer_page, layer_types
from netc.inspection.operator_pages import operator_named, operator_page
from netc.layers import operator_types

CODE = re.compile(r"[EW]\d{3}", re.IGNORECASE)


def explain(word: str) -> str:
    """Return the page of a code (`E010`), or those of the layer type (`Pooling`) and operator of a name, as text.

    Raises NetcError E100 for a word that is none of these; its help suggests a similar one.
    """
    if CODE.fullmatch(word.strip()):
        return code_page(word)
    operator = operator_named(word)
    pages = [] if operator is None else [operator_page(operator)]
    try:
        return "\n".join([layer_page(word), *pages])
    except NetcError:
        if pages:
            return pages[0]
        known = [*codes(), *layer_types(), *operator_types()]
        help = did_you_mean(word, known) or "`netc explain --list` lists all codes and layer types"
        raise NetcError(f"`{word}` is neither a code nor a layer type", help=help) from None
