import Generation
import JSON
import Primitives
import TestClient
import Testing

@testable import WorkerServer

/// KServe's protocol and Triton's `generate` over HTTP. What could break: a parameter that means
/// something else than it does for OpenAI, half a stream that looks whole, shapes that are not the
/// input's.
@Suite struct KServeTests {
  private static let infer = "/v2/models/letters/infer"

  private func text(_ members: String) -> String {
    #"{"inputs":[{"name":"text_input","datatype":"BYTES",\#(members)}]}"#
  }

  @Test func parametersMeanWhatTheyMeanForOpenAI() throws {
    let bench = try Bench { engine, request in engine.say("yes", request) }
    let parameters = #""max_tokens":7,"temperature":0.5,"top_p":0.25,"seed":3,"stop":["!","?"]"#
    _ = try bench.ask("POST", "/v1/completions", #"{"prompt":"x",\#(parameters)}"#)
    for (path, body) in [
      ("/v2/models/letters/generate", #"{"text_input":"x",\#(parameters)}"#),
      ("/v2/models/letters/generate", #"{"text_input":"x","parameters":{\#(parameters)}}"#),
      ("/v2/models/letters/versions/1/generate_stream", #"{"prompt":"x",\#(parameters)}"#),
      (
        Self.infer,
        #"{"parameters":{\#(parameters)},"inputs":[{"name":"prompt","datatype":"BYTES","shape":[1],"#
          + #""data":["x"]}]}"#
      ),
      (
        Self.infer,
        #"{"inputs":[{"name":"prompt","datatype":"BYTES","shape":[1],"data":["x"]},{"name":"#
          + #""sampling_parameters","datatype":"BYTES","shape":[1],"data":["{"#
          + #"\"max_tokens\":9,\"temperature\":0.5,\"top_p\":0.25,\"seed\":3}"]},{"name":"#
          + #""max_tokens","datatype":"UINT32","shape":[1,1],"data":[[7]]}]}"#
      ),
    ] {
      #expect(try bench.ask("POST", path, body).status == 200)
    }
    let asked = bench.onLoop { engine, _ in engine.submitted }
    #expect(asked.count == 6)
    for request in asked {
      #expect(request.prompt == asked[0].prompt && request.sampling == asked[0].sampling)
      #expect(request.maxTokens == 7)
    }
  }

  @Test func shapesAreTheInputs() throws {
    let bench = try Bench { engine, request in
      engine.say(String(UnicodeScalar(UInt8(request.prompt[0]))) + "!", request)
    }
    let answer = try bench.ask(
      "POST", Self.infer,
      #"{"id":"9","inputs":[{"name":"text_input","datatype":"BYTES","shape":[2,1],"#
        + #""data":["a","b"]}],"outputs":[{"name":"text_output"},{"name":"finish_reason"},"#
        + #"{"name":"num_input_tokens"},{"name":"num_output_tokens"}]}"#)
    #expect(
      answer.body
        == #"{"model_name":"letters","model_version":"1","id":"9","outputs":["#
        + #"{"name":"text_output","datatype":"BYTES","shape":[2,1],"data":["a!","b!"]},"#
        + #"{"name":"finish_reason","datatype":"BYTES","shape":[2,1],"data":["stop","stop"]},"#
        + #"{"name":"num_input_tokens","datatype":"UINT32","shape":[2,1],"data":[1,1]},"#
        + #"{"name":"num_output_tokens","datatype":"UINT32","shape":[2,1],"data":[2,2]}]}"#)
    let several = try bench.ask(
      "POST", Self.infer,
      #"{"inputs":[{"name":"text_input","datatype":"BYTES","shape":[1],"data":["a"]}],"#
        + #""parameters":{"n":2,"exclude_input_in_output":false}}"#)
    #expect(several.body.contains(#""shape":[2],"data":["aa!","aa!"]"#))
    let list = try bench.ask("POST", "/v2/models/letters/generate", #"{"text_input":["a","b"]}"#)
    #expect(list.body.hasSuffix(#""text_output":["a!","b!"]}"#))
  }

  @Test func streamsAreEvents() throws {
    let bench = try Bench { engine, request in engine.say("ab", request) }
    let answer = try bench.ask(
      "POST", "/v2/models/letters/generate_stream", #"{"text_input":"x","id":"3"}"#)
    #expect(answer["Content-Type"] == "text/event-stream; charset=utf-8")
    let event = #"data: {"id":"3","model_name":"letters","model_version":"1","text_output":"#
    #expect(answer.body == event + "\"a\"}\n\n" + event + "\"b\"}\n\n")
    // An engine that is lost in mid-stream: an error, and no last chunk.
    let half = try Bench { engine, request in engine.say("half", request, nil) }
    let client = try half.client()
    client.send(
      Bench.request("POST", "/v2/models/letters/generate_stream", #"{"text_input":"x"}"#))
    _ = client.read(through: "\"f\"")
    half.onLoop { engine, _ in engine.change(.starting(why: "a test")) }
    let rest = client.readToEnd()
    #expect(rest.contains(#"data: {"error":"The engine was lost while it made this text: a test."#))
    #expect(!rest.contains("\r\n0\r\n"))
  }

  @Test func whatIsWrongIsTold() throws {
    let bench = try Bench()
    for (path, body, status, sentence) in [
      (Self.infer, "{", 400, "The body is no JSON at byte 1"),
      (
        Self.infer, #"{"inputs":[]}"#, 400, "The input 'text_input' is missing, or has no elements."
      ),
      (
        Self.infer, text(#""shape":[1,2],"data":["a","b"]"#), 400,
        "The shape of 'text_input' must be [n] or [n,1], not [1,2]."
      ),
      (
        Self.infer,
        #"{"inputs":[{"name":"text_input","datatype":"INT8","shape":[1],"data":[1]}]}"#, 400,
        "The datatype of 'text_input' must be BYTES, not INT8."
      ),
      (
        Self.infer,
        #"{"inputs":[{"name":"seed","datatype":"INT8","shape":[2],"data":[1,2]}]}"#, 400,
        "'seed' is a parameter and must have one element, not the shape [2]."
      ),
      (
        "/v2/models/letters/generate_stream", #"{"text_input":["a","b"]}"#, 400,
        "A stream is of one text, and 2 are asked for; send a request for each."
      ),
      (
        "/v2/models/letters/versions/7/infer", "{}", 404,
        "The version '7' of 'letters' does not exist here; there is '1'."
      ),
      (
        "/v2/models/huge/infer", "{}", 404,
        "The model 'huge' does not exist here; this worker serves 'letters'."
      ),
      ("/v2/nothing", "", 405, "/v2/nothing is asked with GET."),
    ] {
      let answer = try bench.ask("POST", path, body)
      #expect(answer.status == status, "\(path) \(answer.body)")
      let error = try JSONValue(answer.body)["error"]?.text ?? ""
      #expect(error.hasPrefix(sentence), "\(error)")
    }
    let method = try bench.ask("GET", Self.infer)
    #expect(method.status == 405 && method["Allow"] == "POST")
    #expect(method.body == #"{"error":"/v2/models/letters/infer is asked with POST."}"#)
    #expect(try bench.ask("GET", "/v2/nothing").status == 404)
    let field = try bench.ask(
      "POST", Self.infer, "{}", fields: "Inference-Header-Content-Length: ten\r\n")
    #expect(
      field.body
        == #"{"error":"Inference-Header-Content-Length must be a number, not 'ten'."}"#)
  }

  @Test func readinessIsTold() throws {
    let bench = try Bench()
    bench.onLoop { engine, _ in engine.change(.ready(FakeEngine.facts)) }
    #expect(try bench.ask("GET", "/v2/health/live").body == #"{"live":true}"#)
    #expect(try bench.ask("GET", "/v2/health/ready").body == #"{"ready":true}"#)
    bench.onLoop { engine, _ in engine.change(.starting(why: "a test")) }
    let ready = try bench.ask("GET", "/v2/models/letters/ready")
    #expect(ready.status == 503)
    #expect(ready.body == #"{"ready":false,"error":"the group was lost: a test"}"#)
    #expect(try bench.ask("GET", "/v2/health/live").status == 200)
    let refused = try bench.ask("POST", Self.infer, text(#""shape":[1],"data":["a"]"#))
    #expect(refused.status == 503 && refused["Retry-After"] == "2")
    #expect(try JSONValue(refused.body)["error"]?.text?.hasPrefix("The model is being") == true)
    bench.onLoop { engine, _ in engine.change(.ended(why: "told")) }
    #expect(try bench.ask("GET", "/v2/health/live").status == 503)
    #expect(
      try bench.ask("GET", "/v2").body
        == #"{"name":"portico-worker","version":"0","extensions":["binary_tensor_data","generate","#
        + #""parameters"]}"#)
  }
}
