import JSON
import TestClient
import Testing

/// KServe's protocol over HTTP. What could break: rows of a tensor in another order than the texts.
@Suite struct KServeTests {
  private func infer(_ worker: Worker, _ body: String) throws -> TestClient.Response {
    try worker.send(body, path: "/v2/models/tiny%2Fbert/infer").readResponse()
  }

  @Test func vectorsAreRows() throws {
    let worker = try Worker()
    let answer = try infer(
      worker,
      #"{"inputs":[{"name":"text_input","datatype":"BYTES","shape":[3],"data":["a b","c","d d"]}]}"#
    )
    // Of each: its first token, its length, the sum of its tokens.
    #expect(
      answer.body
        == #"{"model_name":"tiny/bert","model_version":"1","outputs":[{"name":"embedding","#
        + #""datatype":"FP32","shape":[3,4],"data":[1.0,4.0,24.0,0.1,1.0,3.0,15.0,0.1,1.0,4.0,29.0,"#
        + #"0.1]}]}"#)
    let short = try infer(
      worker,
      #"{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}],"#
        + #""parameters":{"dimensions":2}}"#)
    #expect(short.body.contains(#""shape":[1,2],"data":[1.0,3.0]"#))
  }

  @Test func whatIsWrongIsTold() throws {
    let worker = try Worker { $0.inputLimit = 2 }
    for (body, sentence) in [
      (#"{"inputs":[]}"#, "The input 'text_input' is missing, or has no elements."),
      (
        #"{"inputs":[{"name":"text","datatype":"BYTES","shape":[3],"data":["a","a","a"]}]}"#,
        "'input' holds 3 texts; at most 2 are embedded by one request."
      ),
      (
        #"{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}],"#
          + #""outputs":[{"name":"x"}]}"#,
        "There is no output 'x'; there are embedding."
      ),
      (
        #"{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}],"#
          + #""parameters":{"dimensions":9}}"#,
        "'dimensions' must be a whole number from 1 to 4, which is what this model has."
      ),
    ] {
      let answer = try infer(worker, body)
      #expect(answer.status == 400)
      #expect(try JSONValue(answer.body)["error"]?.text == sentence)
    }
    #expect(try worker.send("{}", path: "/v2/models/x/infer").readResponse().status == 404)
    let generate = try worker.send("{}", path: "/v2/models/tiny/bert/generate").readResponse()
    #expect(
      generate.body == #"{"error":"'tiny/bert' makes no texts: it has /infer, not generate."}"#)
    #expect(try worker.get("/v2/models/tiny/bert/ready").body == #"{"ready":true}"#)
  }
}
