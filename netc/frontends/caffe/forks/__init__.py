"""What forks of Caffe have beside BVLC's: whose it is, and what it means here.

    types.py    layer types of forks, and their names in the V1 format
    known.py    fields and values of forks in BVLC's messages: whose, and whether they change results
    telling.py  findings about them, explained or dropped
    unread.py   values of enums that no schema has: an error only for the layer that needs one
    meaning.py  a layer's parameters in BVLC's words, or an error where there are none

The schema itself is proto/caffe.proto; `netc.schema.is_bvlc` tells its two parts from each other.

Codes:

    W001  a field that no schema has
    W002  a field of a fork that changes what a layer computes, and how it is read
    W003  a value that an enum does not have
    E008  the same, where a layer needs the value
    E106  a field of a fork that changes what a layer computes, and is not supported
"""

from netc.frontends.caffe.forks.fields import called
from netc.frontends.caffe.forks.findings import explained
from netc.frontends.caffe.forks.layer_types import V1_TYPES, owner_of_type
from netc.frontends.caffe.forks.translation import in_bvlc_terms, unsupported
from netc.frontends.caffe.forks.unknown_enums import with_unread

__all__ = ["V1_TYPES", "called", "explained", "in_bvlc_terms", "owner_of_type", "unsupported", "with_unread"]
