"""Layer types, fields and enum values that forks of Caffe added: which fork, and how they are read.

    layer_types.py    layer types of forks, and their names in the V1 format
    fields.py         fields and values of forks in BVLC's messages: which fork, and whether they change results
    findings.py       explains or drops diagnostics about them
    unknown_enums.py  unknown enum values: an error only for a layer that needs one
    translation.py    a layer's parameters in BVLC's terms, or an error if there is no equivalent

The schema is proto/caffe.proto; `netc.schema.is_bvlc` distinguishes BVLC's part from that of forks.

Codes:

    W001  unknown field
    W002  a field of a fork that changes what a layer computes, and how it is read
    W003  unknown enum value
    W004  a value of another type, or several, in a field that forks define differently
    E008  unknown enum value that a layer needs
    E106  an unsupported field of a fork that changes what a layer computes
"""

from netc.frontends.caffe.forks.fields import called
from netc.frontends.caffe.forks.findings import explained
from netc.frontends.caffe.forks.layer_types import V1_TYPES, owner_of_type, type_of_fork
from netc.frontends.caffe.forks.translation import in_bvlc_terms, is_intels, unsupported
from netc.frontends.caffe.forks.unknown_enums import with_unknown_enums

__all__ = [
    "V1_TYPES",
    "called",
    "explained",
    "in_bvlc_terms",
    "is_intels",
    "owner_of_type",
    "type_of_fork",
    "unsupported",
    "with_unknown_enums",
]
