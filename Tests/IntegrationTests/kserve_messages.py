"""Messages of KServe's protocol and of gRPC's health service for the real protobuf runtime.

Built from descriptors that are written here, so that no compiler of .proto files is needed. Field
names and numbers are those of Triton's grpc_service.proto and of grpc's health.proto.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "bool": F.TYPE_BOOL, "int32": F.TYPE_INT32, "int64": F.TYPE_INT64, "uint32": F.TYPE_UINT32,
    "uint64": F.TYPE_UINT64, "float": F.TYPE_FLOAT, "double": F.TYPE_DOUBLE,
    "string": F.TYPE_STRING, "bytes": F.TYPE_BYTES,
}

PARAMETERS = "map InferParameter"
INFERENCE = {
    "ServerLiveRequest": [],
    "ServerLiveResponse": ["bool live"],
    "ServerReadyRequest": [],
    "ServerReadyResponse": ["bool ready"],
    "ModelReadyRequest": ["string name", "string version"],
    "ModelReadyResponse": ["bool ready"],
    "ServerMetadataRequest": [],
    "ServerMetadataResponse": ["string name", "string version", "repeated string extensions"],
    "ModelMetadataRequest": ["string name", "string version"],
    "TensorMetadata": ["string name", "string datatype", "repeated int64 shape"],
    "ModelMetadataResponse": [
        "string name", "repeated string versions", "string platform",
        "repeated TensorMetadata inputs", "repeated TensorMetadata outputs",
    ],
    "InferParameter": [
        "oneof bool bool_param", "oneof int64 int64_param", "oneof string string_param",
        "oneof double double_param", "oneof uint64 uint64_param",
    ],
    "InferTensorContents": [
        "repeated bool bool_contents", "repeated int32 int_contents",
        "repeated int64 int64_contents", "repeated uint32 uint_contents",
        "repeated uint64 uint64_contents", "repeated float fp32_contents",
        "repeated double fp64_contents", "repeated bytes bytes_contents",
    ],
    # InferInputTensor and InferOutputTensor are alike.
    "InferTensor": [
        "string name", "string datatype", "repeated int64 shape", PARAMETERS + " parameters",
        "InferTensorContents contents",
    ],
    "InferRequestedOutputTensor": ["string name", PARAMETERS + " parameters"],
    "ModelInferRequest": [
        "string model_name", "string model_version", "string id", PARAMETERS + " parameters",
        "repeated InferTensor inputs", "repeated InferRequestedOutputTensor outputs",
        "repeated bytes raw_input_contents",
    ],
    "ModelInferResponse": [
        "string model_name", "string model_version", "string id", PARAMETERS + " parameters",
        "repeated InferTensor outputs", "repeated bytes raw_output_contents",
    ],
    "ModelStreamInferResponse": ["string error_message", "ModelInferResponse infer_response"],
}


def _add(message, package, number, text):
    words = text.split()
    field = message.field.add(name=words[-1], number=number, label=F.LABEL_OPTIONAL)
    kind = words[-2]
    if words[0] == "repeated":
        field.label = F.LABEL_REPEATED
    if words[0] == "oneof":
        field.oneof_index = 0
    if words[0] == "map":
        field.label = F.LABEL_REPEATED
        name = "".join(part.capitalize() for part in words[-1].split("_")) + "Entry"
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=F.LABEL_OPTIONAL, type=F.TYPE_STRING)
        entry.field.add(
            name="value", number=2, label=F.LABEL_OPTIONAL, type=F.TYPE_MESSAGE,
            type_name=f".{package}.{kind}")
        field.type = F.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{name}"
    elif kind in TYPES:
        field.type = TYPES[kind]
    else:
        field.type = F.TYPE_ENUM if kind == "ServingStatus" else F.TYPE_MESSAGE
        field.type_name = f".{package}.{kind}"


def _file(package, messages):
    file = descriptor_pb2.FileDescriptorProto(
        name=package + ".proto", package=package, syntax="proto3")
    if package == "grpc.health.v1":
        enum = file.enum_type.add(name="ServingStatus")
        for number, name in enumerate(["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]):
            enum.value.add(name=name, number=number)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        if any(field.startswith("oneof") for field in fields):
            message.oneof_decl.add(name="parameter_choice")
        for number, text in enumerate(fields, 1):
            _add(message, package, number, text)
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file("inference", INFERENCE))
_pool.Add(
    _file(
        "grpc.health.v1",
        {"HealthCheckRequest": ["string service"], "HealthCheckResponse": ["ServingStatus status"]},
    ))


def message(name, package="inference"):
    """The class of a message."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{package}.{name}"))


class Stub:
    """Callables for all methods of both services on a channel."""

    def __init__(self, channel):
        for method in ["ServerLive", "ServerReady", "ModelReady", "ServerMetadata",
                       "ModelMetadata", "ModelInfer"]:
            setattr(self, method, channel.unary_unary(
                f"/inference.GRPCInferenceService/{method}",
                request_serializer=message(method + "Request").SerializeToString,
                response_deserializer=message(method + "Response").FromString))
        self.ModelStreamInfer = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=message("ModelInferRequest").SerializeToString,
            response_deserializer=message("ModelStreamInferResponse").FromString)
        health = message("HealthCheckRequest", "grpc.health.v1").SerializeToString
        serving = message("HealthCheckResponse", "grpc.health.v1").FromString
        self.Check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=health,
            response_deserializer=serving)
        self.Watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch", request_serializer=health,
            response_deserializer=serving)


def text_request(texts, model="tiny", id="", raw=False, shape=None, name="text_input", **parameters):
    """A ModelInferRequest for texts, with parameters by their Python types."""
    request = message("ModelInferRequest")(model_name=model, id=id)
    tensor = request.inputs.add(name=name, datatype="BYTES", shape=shape or [len(texts)])
    data = [text.encode() if isinstance(text, str) else text for text in texts]
    if raw:
        request.raw_input_contents.append(
            b"".join(len(each).to_bytes(4, "little") + each for each in data))
    else:
        tensor.contents.bytes_contents.extend(data)
    for key, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param",
                float: "double_param"}[type(value)]
        setattr(request.parameters[key], kind, value)
    return request
