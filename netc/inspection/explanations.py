"""explain: the page of a code or of a layer type."""

from __future__ import annotations

import re

from netc.diagnostics import NetcError, did_you_mean
from netc.inspection.error_pages import code_page, codes
from netc.inspection.layer_pages import layer_page, layer_types

CODE = re.compile(r"[EW]\d{3}", re.IGNORECASE)


def explain(word: str) -> str:
    """Return the page of a code (`E010`) or of a layer type (`Pooling`) as text.

    Raises NetcError E100 for a word that is neither; its help suggests a similar one.
    """
    if CODE.fullmatch(word.strip()):
        return code_page(word)
    try:
        return layer_page(word)
    except NetcError:
        help = did_you_mean(word, [*codes(), *layer_types()]) or "`netc explain --list` lists all codes and layer types"
        raise NetcError(f"`{word}` is neither a code nor a layer type", help=help) from None
