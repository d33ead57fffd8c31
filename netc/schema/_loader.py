"""Descriptor sets to message classes, in a pool of the project's own.

The default pool would clash with another `caffe_pb2` in the same process: two files of one name, or one message defined
twice, are an error there.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.internal import enum_type_wrapper

if TYPE_CHECKING:
    from netc.schema._types import Message as Message
else:
    from google.protobuf.message import Message as Message

POOL = descriptor_pool.DescriptorPool()
"""Every schema of the project, and nothing else."""


class Package:
    """The content of one descriptor set, read from `NAME.bin` beside this file."""

    def __init__(self, name: str) -> None:
        self.name = name
        files = descriptor_pb2.FileDescriptorSet.FromString((Path(__file__).parent / f"{name}.bin").read_bytes())
        for file in files.file:
            POOL.AddSerializedFile(file.SerializeToString())
        self.descriptor: FileDescriptor = POOL.FindFileByName(f"{name}.proto")

    def member(self, name: str) -> Any:
        """A message class, an enum, or the number of a value of an enum outside messages.

        Raises AttributeError for any other name; modules use this as their `__getattr__`.
        """
        if name in self.descriptor.message_types_by_name:
            return message_class(self.descriptor.message_types_by_name[name])
        for enum in self.descriptor.enum_types_by_name.values():
            if enum.name == name:
                return enum_type_wrapper.EnumTypeWrapper(enum)
            if name in enum.values_by_name:
                return enum.values_by_name[name].number
        raise AttributeError(f"module 'netc.schema.{self.name}' has no attribute {name!r}")


@functools.lru_cache(maxsize=None)
def message_class(descriptor: Descriptor) -> type[Message]:
    """The class of a message."""
    if hasattr(message_factory, "GetMessageClass"):
        made = message_factory.GetMessageClass(descriptor)
    else:  # protobuf 4.21
        made = message_factory.MessageFactory(POOL).GetPrototype(descriptor)
    message: type[Message] = made
    return message
