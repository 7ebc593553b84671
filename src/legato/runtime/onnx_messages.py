"""The messages of an ONNX file that Legato changes, with the fields that it needs.

ONNX Runtime requires protobuf but not the package onnx. Fields that are not declared here are kept as they are when a
message is parsed and serialized. Numbers and names of the fields are those of `onnx.proto`.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELDS = {
    "StringEntry": {"key": (1, "string"), "value": (2, "string")},
    "Tensor": {
        "dims": (1, "*int64"),
        "data_type": (2, "int32"),
        "int32_data": (5, "*int32"),
        "name": (8, "string"),
        "raw_data": (9, "bytes"),
        "external_data": (13, "*StringEntry"),
        "data_location": (14, "int32"),
    },
    "ValueInfo": {"name": (1, "string")},
    "Node": {"input": (1, "*string"), "op_type": (4, "string"), "attribute": (5, "*Attribute")},
    "Attribute": {"name": (1, "string"), "g": (6, "Graph"), "graphs": (11, "*Graph")},
    "Graph": {
        "node": (1, "*Node"),
        "initializer": (5, "*Tensor"),
        "input": (11, "*ValueInfo"),
        "output": (12, "*ValueInfo"),
        "value_info": (13, "*ValueInfo"),
    },
    "Model": {"graph": (7, "Graph")},
}


def _message(name: str) -> Any:
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="legato/onnx.proto", package="legato.onnx")
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            added = described.field.add(name=field, number=number)
            added.label = field_type.LABEL_REPEATED if kind[0] == "*" else field_type.LABEL_OPTIONAL
            one = kind.removeprefix("*")
            if one in _FIELDS:
                added.type, added.type_name = field_type.TYPE_MESSAGE, f".legato.onnx.{one}"
            else:
                added.type = getattr(field_type, f"TYPE_{one.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"legato.onnx.{name}"))


Model: Any = _message("Model")
"""An ONNX model; `Model.FromString(data)` parses one."""
