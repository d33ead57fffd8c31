"""Hypothesis strategies: messages of the schema, and spellings of their text."""

from hypothesis import strategies as st

from netc.schema import LISTED, descriptor, is_repeated, is_required, message_class

SPACE = st.sampled_from([" ", "\n", "  ", "\t", "\r\n", " # note: {\n", "\n\n"])
PLAIN = {8: st.booleans(), 9: st.text(st.characters(exclude_categories=["Cs"]), max_size=6), 12: st.binary(max_size=6)}
INTEGERS = {3: (-(2**63), 2**63 - 1), 5: (-(2**31), 2**31 - 1), 13: (0, 2**32 - 1)}
NAMES = ["caffe.NetParameter", "caffe.SolverParameter", "caffe2.NetDef", "caffe2.TensorProto", "caffe2.AOTConfig"]


def value(field, depth):
    """A strategy for one value of a field."""
    if field.message_type is not None:
        return message(field.message_type, depth - 1)
    if field.enum_type is not None:
        return st.sampled_from([v.number for v in field.enum_type.values])
    if field.type in (1, 2):
        return st.floats(width=32 if field.type == 2 else 64, allow_nan=False)
    if field.type in INTEGERS:
        return st.integers(*INTEGERS[field.type])
    return PLAIN[field.type]


@st.composite
def message(draw, kind, depth=3):
    """A message with a few of its fields set, all required ones among them."""
    made = message_class(kind)()
    fields = [field for field in kind.fields if depth > 0 or field.message_type is None]
    fields = [field for field in fields if not field.name.endswith(LISTED)]
    chosen = draw(st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda field: field.name)) if fields else []
    for field in dict.fromkeys([*(f for f in kind.fields if is_required(f)), *chosen]):
        count = draw(st.integers(1, 3)) if is_repeated(field) else 1
        for _ in range(count):
            one = draw(value(field, depth))
            if is_repeated(field):
                getattr(made, field.name).append(one)
            elif field.message_type is not None:
                getattr(made, field.name).SetInParent()
                getattr(made, field.name).CopyFrom(one)
            else:
                setattr(made, field.name, one)
    return made


messages = st.sampled_from(NAMES).flatmap(lambda name: message(descriptor(name)))

SPELLINGS = [
    "0", "1", "-1", "-0", "017", "08", "0x1F", "0X1f", "-0x2", "2147483647", "2147483648", "-2147483648",
    "-2147483649", "4294967295", "4294967296", "18446744073709551616", "1.", ".5", "-.5", "1.5", "1e3", "1E-3",
    "1e", "1.5f", "2F", "01.5", "00", "inf", "-inf", "Infinity", "-INF", "nan", "NaN", "-nan", "inff", "nanf",
    "infin", "1e40", "-1e400", "1e-50", "t", "f", "true", "false", "True", "False", "TRUE", "yes", "MAX", "max",
    "AVE", "DEFAULT", "'MAX'", '"x"', "'x'", '"a" \'b\'', r'"\n\t\\\"\'"', r'"\101\x42\x4"', r'"\351"',
    r'"\303\251"', r'"\u00e9"', '"é"', '""', "{ }", "{ value: 1 }", "< >", "[]", "[1]", "[1, 2]", "['a', 'b']",
    "[MAX]", "[{ }, { }]", "[true, 0]", "foo", "0x", "1-2", "1..2", "''",
]  # fmt: skip

FIELDS = [
    ("caffe.PoolingParameter", "pool"),
    ("caffe.PoolingParameter", "stride_h"),
    ("caffe.PoolingParameter", "global_pooling"),
    ("caffe.BlobShape", "dim"),
    ("caffe.BlobProto", "num"),
    ("caffe.BlobProto", "data"),
    ("caffe.BlobProto", "double_data"),
    ("caffe.LayerParameter", "propagate_down"),
    ("caffe.LayerParameter", "bottom"),
    ("caffe.LayerParameter", "name"),
    ("caffe.LayerParameter", "param"),
    ("caffe.LayerParameter", "phase"),
    ("caffe.FillerParameter", "value"),
    ("caffe.ConvolutionParameter", "weight_filler"),
    ("caffe.ConvolutionParameter", "kernel_size"),
    ("caffe.Datum", "data"),
    ("caffe.V1LayerParameter", "blob_share_mode"),
    ("caffe.SolverParameter", "random_seed"),
]
