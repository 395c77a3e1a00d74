"""grpcio's own client against a worker. Prints a line for each story that went well.

usage: grpc_client.py HTTP_ADDRESS GRPC_ADDRESS WORKER_PID STORY...
"""

import json
import os
import signal
import struct
import sys
import time
import urllib.error
import urllib.request

import grpc
from kserve_messages import Stub, message, text_request

http, address, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
channel = grpc.insecure_channel(address)
stub = Stub(channel)
GREEDY = {"max_tokens": 12, "ignore_eos": True, "temperature": 0}
DRAWN = {"max_tokens": 12, "ignore_eos": True, "temperature": 1.0, "seed": 7}
health = message("HealthCheckRequest", "grpc.health.v1")


def ask(path, body=None, fields={}):
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{http}{path}", data, fields)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def metric(name, label=""):
    page = ask("/metrics")[2].decode()
    return sum(
        float(line.split()[-1]) for line in page.splitlines()
        if line.startswith(name + "{") and label in line)


def eventually(what, within=30):
    end = time.time() + within
    while not what():
        assert time.time() < end, "it did not happen in time"
        time.sleep(0.02)


def code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def texts(response):
    output = next(each for each in response.outputs if each.name == "text_output")
    if not response.raw_output_contents:
        return [each.decode() for each in output.contents.bytes_contents]
    raw, found = response.raw_output_contents[0], []
    while raw:
        length = struct.unpack("<I", raw[:4])[0]
        found.append(raw[4:4 + length].decode())
        raw = raw[4 + length:]
    return found


def completion(prompt, parameters):
    body = dict(parameters, model="tiny", prompt=prompt)
    return json.loads(ask("/v1/completions", body)[2])["choices"][0]["text"]


def calls():
    assert stub.ServerLive(message("ServerLiveRequest")()).live
    assert stub.ServerReady(message("ServerReadyRequest")()).ready
    server = stub.ServerMetadata(message("ServerMetadataRequest")())
    assert server.name == "portico-worker" and "binary_tensor_data" in server.extensions, server
    ready = message("ModelReadyRequest")
    assert stub.ModelReady(ready(name="tiny")).ready
    assert stub.ModelReady(ready(name="tiny", version="1")).ready
    model = stub.ModelMetadata(message("ModelMetadataRequest")(name="tiny"))
    assert list(model.versions) == ["1"] and model.inputs[0].name == "text_input", model
    assert model.inputs[0].shape == [-1] and model.outputs[0].datatype == "BYTES", model
    for service in ["", "tiny", "inference.GRPCInferenceService"]:
        assert stub.Check(health(service=service)).status == 1, service
    assert code(lambda: stub.Check(health(service="x"))) == (
        "NOT_FOUND", "There is no service 'x' here.")
    assert code(lambda: stub.ModelReady(ready(name="huge"))) == (
        "NOT_FOUND", "The model 'huge' does not exist here; this worker serves 'tiny'.")
    assert code(lambda: stub.ModelReady(ready(name="tiny", version="2")))[0] == "NOT_FOUND"
    assert code(lambda: stub.ModelInfer(text_request(["a"], model="huge")))[0] == "NOT_FOUND"
    unknown = channel.unary_unary("/inference.GRPCInferenceService/TraceSetting")
    assert code(lambda: unknown(b""))[0] == "UNIMPLEMENTED"
    # The worker's own port speaks both.
    both = Stub(grpc.insecure_channel(http))
    assert both.ServerLive(message("ServerLiveRequest")()).live
    assert json.loads(ask("/v2/health/ready")[2]) == {"ready": True}
    assert json.loads(ask("/v2")[2])["name"] == "portico-worker"
    assert json.loads(ask("/v2/models/tiny/versions/1")[2])["platform"] == "portico_text"
    status, _, body = ask("/v2/models/huge/ready")
    assert status == 404 and json.loads(body)["error"].startswith("The model 'huge'"), body


def same_texts():
    """One text, by every API and in every shape."""
    for parameters in [GREEDY, DRAWN]:
        wanted = completion("A front door", parameters)
        for raw in [False, True]:
            for shape in [[1], [1, 1]]:
                answer = stub.ModelInfer(
                    text_request(["A front door"], raw=raw, shape=shape, id="7", **parameters))
                assert texts(answer) == [wanted], (answer, wanted)
                assert answer.outputs[0].shape == shape and answer.id == "7", answer
                assert bool(answer.raw_output_contents) == raw, answer
        body = dict(parameters, text_input="A front door")
        answer = json.loads(ask("/v2/models/tiny/generate", body)[2])
        assert answer["text_output"] == wanted, answer
        body = {"text_input": "A front door", "parameters": parameters}
        pieces = ask("/v2/models/tiny/generate_stream", body)[2].decode().split("\n\n")
        joined = "".join(json.loads(each[6:])["text_output"] for each in pieces if each)
        assert joined == wanted, pieces
        tensor = {"name": "prompt", "datatype": "BYTES", "shape": [1, 1], "data": [["A front door"]]}
        body = {"inputs": [tensor], "parameters": parameters}
        answer = json.loads(ask("/v2/models/tiny/infer", body)[2])
        assert answer["outputs"][0]["data"] == [wanted], answer
    # Tensors as they lie in memory, both ways; parameters as tensors.
    prompt = "A front door".encode()
    binary = struct.pack("<I", len(prompt)) + prompt + struct.pack("<i", 12)
    head = json.dumps({
        "inputs": [
            {"name": "text_input", "datatype": "BYTES", "shape": [1],
             "parameters": {"binary_data_size": len(prompt) + 4}},
            {"name": "max_tokens", "datatype": "INT32", "shape": [1],
             "parameters": {"binary_data_size": 4}},
        ],
        "outputs": [{"name": "num_output_tokens"},
                    {"name": "text_output", "parameters": {"binary_data": True}}],
        "parameters": {"ignore_eos": True, "temperature": 0},
    }).encode()
    fields = {"Inference-Header-Content-Length": str(len(head))}
    _, fields, answer = ask("/v2/models/tiny/infer", head + binary, fields)
    length = int(fields["Inference-Header-Content-Length"])
    outputs = {each["name"]: each for each in json.loads(answer[:length])["outputs"]}
    assert outputs["num_output_tokens"]["data"] == [12], outputs
    wanted = completion("A front door", GREEDY)
    assert answer[length + 4:].decode() == wanted, answer
    # Several texts of one request.
    answer = stub.ModelInfer(text_request(["A front door", "Once"], **GREEDY))
    assert texts(answer) == [wanted, completion("Once", GREEDY)], answer
    assert answer.outputs[0].shape == [2], answer


def streamed():
    wanted = completion("A front door", GREEDY)
    answers = list(stub.ModelStreamInfer(iter([text_request(["A front door"], id="1", **GREEDY)])))
    pieces = [each.infer_response for each in answers]
    assert len(pieces) > 3 and all(each.id == "1" for each in pieces), pieces
    assert "".join(texts(each)[0] for each in pieces) == wanted, pieces
    finals = [each.parameters["triton_final_response"].bool_param for each in pieces]
    assert finals == [False] * (len(pieces) - 1) + [True], finals
    # An end of its own, as Triton's clients ask for.
    request = text_request(
        ["A front door"], raw=True, triton_enable_empty_final_response=True, **GREEDY)
    *some, last = [each.infer_response for each in stub.ModelStreamInfer(iter([request]))]
    assert "".join(texts(each)[0] for each in some) == wanted, some
    assert not last.outputs and last.parameters["triton_final_response"].bool_param, last
    # Many on one stream, one of them wrong, one with several texts.
    requests = [text_request(["A front door"], id=str(each), **DRAWN) for each in range(8)]
    requests += [text_request(["x"], id="wrong", temperature=9.0), text_request(["x", "y"])]
    found, errors = {}, []
    for each in stub.ModelStreamInfer(iter(requests)):
        if each.error_message:
            errors.append(each.error_message)
        else:
            name = each.infer_response.id
            found[name] = found.get(name, "") + texts(each.infer_response)[0]
    assert found == {str(each): completion("A front door", DRAWN) for each in range(8)}, found
    assert len(errors) == 2, errors
    assert any("'temperature' must be a number from 0 to 2, not 9." in each for each in errors)
    assert any("A stream is of one text, and 2 are asked for" in each for each in errors), errors
    # Nothing asked, nothing answered.
    assert list(stub.ModelStreamInfer(iter([]))) == []


def refused():
    def infer(*args, **parameters):
        return code(lambda: stub.ModelInfer(text_request(*args, **parameters)))

    assert infer(["a", "b"], shape=[3]) == (
        "INVALID_ARGUMENT",
        "The shape of 'text_input' is [3], which are 3 elements of BYTES; 2 came.")
    assert infer(["a"], shape=[-1])[0] == "INVALID_ARGUMENT"
    assert infer(["a"], raw=True, shape=[2])[0] == "INVALID_ARGUMENT"
    assert infer([b"\xff"])[1] == "Element 0 of 'text_input' is not UTF-8."
    assert infer(["a"], max_tokens="many")[0] == "INVALID_ARGUMENT"
    assert infer(["a"], name="tokens")[1].startswith("The datatype") is False
    request = text_request(["a"])
    request.outputs.add(name="logits")
    assert code(lambda: stub.ModelInfer(request)) == (
        "INVALID_ARGUMENT",
        "There is no output 'logits'; there are text_output, finish_reason, num_input_tokens, "
        "num_output_tokens.")
    big = code(lambda: stub.ModelInfer(text_request(["a" * (5 << 20)])))
    assert big[0] == "RESOURCE_EXHAUSTED" and big[1].endswith(
        "at most 4194304 are read (message limit)."), big
    raw = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    assert code(lambda: raw(b"\x0a\x05")) == (
        "INVALID_ARGUMENT", "The message is wrong at byte 1: it ends inside a value.")
    packed = Stub(grpc.insecure_channel(address, compression=grpc.Compression.Gzip))
    assert code(lambda: packed.ModelInfer(text_request(["a" * 2000], **GREEDY)))[0] == "UNIMPLEMENTED"
    for body, wanted in [
        ({"inputs": []}, "The input 'text_input' is missing"),
        ({"text_input": 7}, "'inputs' must be a list of tensors."),
    ]:
        status, _, answer = ask("/v2/models/tiny/infer", body)
        assert status == 400 and wanted in json.loads(answer)["error"], answer
    assert ask("/v2/models/tiny/infer")[0] == 405
    assert ask("/v2/models/tiny/generate", {})[2] == b'{"error":"\'text_input\' is missing."}'
    assert metric("portico_worker_grpc_message_refusals_total") == 1
    assert metric("portico_worker_grpc_calls_total", 'status="INVALID_ARGUMENT"') >= 6


def freed():
    return all(
        metric(name) == 0 for name in
        ["portico_worker_in_flight", "portico_worker_running", "portico_worker_kv_blocks_used",
         "portico_worker_grpc_calls"])


LONG = dict(GREEDY, max_tokens=120)


def cancelled():
    stream = stub.ModelStreamInfer(iter([text_request(["Tell"], **LONG)]))
    next(stream)
    assert metric("portico_worker_in_flight") == 1
    stream.cancel()
    eventually(freed)
    assert metric("portico_worker_texts_total", 'outcome="left"') == 1
    call = stub.ModelInfer.future(text_request(["Tell"], **LONG))
    eventually(lambda: metric("portico_worker_in_flight") == 1)
    call.cancel()
    eventually(freed)


def late():
    call = lambda: stub.ModelInfer(text_request(["Tell"], **LONG), timeout=0.2)  # noqa: E731
    assert code(call)[0] == "DEADLINE_EXCEEDED"
    eventually(freed)
    stream = lambda: list(  # noqa: E731
        stub.ModelStreamInfer(iter([text_request(["Tell"], **LONG)]), timeout=0.2))
    assert code(stream)[0] == "DEADLINE_EXCEEDED"
    eventually(freed)


def ranks():
    children = []
    for each in os.listdir("/proc"):
        if each.isdigit():
            try:
                with open(f"/proc/{each}/stat") as file:
                    words = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(words[1]) == pid and words[0] != "Z":
                children.append(int(each))
    return children


def watched():
    """A rank dies in mid-stream, then the worker is told to end."""
    watching = stub.Watch(health(service="tiny"))
    unknown = stub.Watch(health(service="x"))
    assert next(watching).status == 1 and next(unknown).status == 3
    stream = stub.ModelStreamInfer(iter([text_request(["Tell"], **LONG)]))
    next(stream)
    os.kill(ranks()[0], signal.SIGKILL)
    *_, last = stream
    assert "It is safe to try again." in last.error_message, last
    assert next(watching).status == 2
    assert next(watching).status == 1
    eventually(lambda: stub.Check(health(service="tiny")).status == 1)
    # A text under way ends well while the worker ends, and new ones go elsewhere.
    stream = stub.ModelStreamInfer(iter([text_request(["Tell"], **LONG)]))
    first = next(stream)
    os.kill(pid, signal.SIGTERM)
    assert next(watching).status == 2
    rest = "".join(texts(each.infer_response)[0] for each in stream)
    assert rest and first
    assert code(lambda: next(watching)) == ("UNAVAILABLE", "The server is ending; ask another.")


def killed():
    stream = stub.ModelStreamInfer(iter([text_request(["Tell"], **LONG)]))
    next(stream)
    os.kill(pid, signal.SIGKILL)
    assert code(lambda: list(stream))[0] == "UNAVAILABLE"


def embedded():
    """Of portico-embed: vectors by every API."""
    body = {"input": ["a front door", "another"]}
    wanted = [each["embedding"] for each in json.loads(ask("/v1/embeddings", body)[2])["data"]]
    size = len(wanted[0])

    def near(ours):
        flat = [number for vector in wanted for number in vector]
        return len(ours) == len(flat) and all(abs(a - b) < 1e-6 for a, b in zip(ours, flat))

    answer = stub.ModelInfer(text_request(body["input"]))
    assert answer.outputs[0].name == "embedding" and answer.outputs[0].datatype == "FP32"
    assert answer.outputs[0].shape == [2, size], answer
    assert near(answer.outputs[0].contents.fp32_contents)
    answer = stub.ModelInfer(text_request(body["input"], raw=True))
    assert near(struct.unpack(f"<{2 * size}f", answer.raw_output_contents[0]))
    answer = stub.ModelInfer(text_request(["a front door"], dimensions=8))
    assert answer.outputs[0].shape == [1, 8], answer
    requests = [text_request([each], id=each) for each in body["input"]]
    found = {
        each.infer_response.id: list(each.infer_response.outputs[0].contents.fp32_contents)
        for each in stub.ModelStreamInfer(iter(requests))}
    assert near(found["a front door"] + found["another"])
    tensor = {"name": "text_input", "datatype": "BYTES", "shape": [2], "data": body["input"]}
    answer = json.loads(ask("/v2/models/tiny/infer", {"inputs": [tensor]})[2])
    assert answer["outputs"][0]["shape"] == [2, size] and near(answer["outputs"][0]["data"])
    _, fields, answer = ask(
        "/v2/models/tiny/infer", {"inputs": [tensor], "parameters": {"binary_data_output": True}})
    length = int(fields["Inference-Header-Content-Length"])
    assert near(struct.unpack(f"<{2 * size}f", answer[length:]))
    assert code(lambda: stub.ModelInfer(text_request(["a"], shape=[2])))[0] == "INVALID_ARGUMENT"
    assert code(lambda: stub.ModelInfer(text_request(["a"], model="x")))[0] == "NOT_FOUND"
    assert code(lambda: stub.ModelInfer(text_request(["a"], dimensions=9999)))[0] == "INVALID_ARGUMENT"
    status, _, answer = ask("/v2/models/tiny/generate", {"text_input": "a"})
    assert status == 404 and "makes no texts" in json.loads(answer)["error"], answer
    assert stub.Check(health(service="tiny")).status == 1
    model = stub.ModelMetadata(message("ModelMetadataRequest")(name="tiny"))
    assert model.outputs[0].shape == [-1, size], model
    assert metric("portico_embed_texts_in_flight") == 0


for story in sys.argv[4:]:
    globals()[story]()
    print(story, flush=True)
