import JSON
import Testing
import WorkerAPI

@testable import EmbedServer

/// What clients may ask, and the sentences that they get otherwise.
@Suite struct RequestTests {
  // The shape of OpenAI's answer, byte for byte: its clients read all of these members.
  @Test func anAnswerHasOpenAIsShape() throws {
    let worker = try Worker()
    let response = try worker.ask(#"{"model": "tiny/bert", "input": "a b", "user": "u"}"#)
    #expect(response.status == 200)
    #expect(response["Content-Type"] == "application/json")
    #expect(
      response.body
        == #"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"#
        + #"[1.0,4.0,24.0,0.1]}],"model":"tiny/bert","usage":{"prompt_tokens":4,"total_tokens":4}}"#
    )
  }

  // Each of the four kinds of input, in order, with [CLS] and [SEP] around texts but not tokens.
  @Test func textsAndTokensAreEmbedded() throws {
    let worker = try Worker()
    #expect(try worker.vectors(#"{"input": "a"}"#).map { $0[2] } == [13])
    #expect(try worker.vectors(#"{"input": ["a", "b", ""]}"#).map { $0[2] } == [13, 14, 3])
    #expect(try worker.vectors(#"{"input": [10, 11]}"#).map { $0[2] } == [21])
    #expect(try worker.vectors(#"{"input": [[10], [11, 12]]}"#).map { $0[2] } == [10, 23])
    // What spells a special token is one, as for sentence-transformers.
    #expect(try worker.vectors(#"{"input": "a [SEP] b"}"#).map { $0[2] } == [26])
  }

  // Too long a text loses its end, but keeps [SEP]; usage counts what was computed.
  @Test func longTextsAreCut() throws {
    let worker = try Worker()
    let long = String(repeating: "a ", count: 50)
    let response = try worker.ask(#"{"input": "\#(long)"}"#)
    let json = try JSONValue(response.body)
    let vector = json["data"]?.elements?[0]["embedding"]?.elements?.compactMap(\.number) ?? []
    #expect(vector.prefix(3) == [1, 8, 63])
    #expect(json["usage"]?["prompt_tokens"]?.integer == 8)
    let tokens = (0..<50).map { "\($0)" }.joined(separator: ",")
    #expect(try worker.vectors("{\"input\": [\(tokens)]}") == [[0, 8, 28, 0.1]])
  }

  // Little-endian floats: 1.0 is 00 00 80 3f. Lengths with every rest of 3 bytes.
  @Test(arguments: [
    (1, "AACAPw=="), (2, "AACAPwAAQEA="), (3, "AACAPwAAQEAAAFBB"),
    (4, "AACAPwAAQEAAAFBBzczMPQ=="),
  ])
  func base64IsLittleEndianFloats(dimensions: Int, text: String) throws {
    let worker = try Worker()
    let response = try worker.ask(
      #"{"input": "a", "encoding_format": "base64", "dimensions": \#(dimensions)}"#)
    #expect(
      try JSONValue(response.body)["data"]?.elements?[0]["embedding"] == .string(text))
  }

  // Fewer dimensions are the first ones, of length 1 again where the model's vectors have it.
  @Test func dimensionsAreCutAndScaled() throws {
    let plain = try Worker()
    #expect(try plain.vectors(#"{"input": "a", "dimensions": 2}"#) == [[1, 3]])
    let normalised = try Worker(isNormalised: true)
    let vector = try normalised.vectors(#"{"input": "a", "dimensions": 2}"#)[0]
    #expect(abs(vector[0] * 3 - vector[1]) < 1e-6)
    #expect(abs(vector[0] * vector[0] + vector[1] * vector[1] - 1) < 1e-6)
    // All of them are left as the model made them.
    #expect(try normalised.vectors(#"{"input": "a", "dimensions": 4}"#)[0][1] == 3)
  }

  static let refusals: [(body: String, message: String)] = [
    ("{", "The body is no JSON at byte 1: expected a name in quotes."),
    ("[1]", "The body must be a JSON object."),
    (#"{"input": null}"#, "'input' is missing."),
    (#"{"input": []}"#, "'input' is an empty list; it needs at least one text."),
    (
      #"{"input": {"a": 1}}"#,
      "'input' must be a text, a list of texts, a list of tokens, or a list of such lists, not an "
        + "object."
    ),
    (
      #"{"input": ["a", [1]]}"#,
      "'input' must be a text, a list of texts, a list of tokens, or a list of such lists; element "
        + "1 is a list."
    ),
    (#"{"input": [[1], []]}"#, "'input[1]' is a list without tokens."),
    (
      #"{"input": [1, 100]}"#,
      "'input' holds what is no token at place 1; tokens of this model are whole numbers from 0 to "
        + "99."
    ),
    (
      #"{"input": [[1.5]]}"#,
      "'input[0]' holds what is no token at place 0; tokens of this model are whole numbers from 0 "
        + "to 99."
    ),
    (
      #"{"input": ["a", "a", "a", "a", "a"]}"#,
      "'input' holds 5 texts; at most 4 are embedded by one request."
    ),
    (
      #"{"input": "a", "encoding_format": "hex"}"#,
      "'encoding_format' must be 'float' or 'base64'."
    ),
    (
      #"{"input": "a", "dimensions": 5}"#,
      "'dimensions' must be a whole number from 1 to 4, which is what this model has."
    ),
    (
      #"{"input": "a", "dimensions": 1e300}"#,
      "'dimensions' must be a whole number from 1 to 4, which is what this model has."
    ),
    (#"{"input": "a", "model": 3}"#, "'model' must be a text, not a number."),
    (
      #"{"input": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"#,
      "The body holds 21 JSON values; at most 20 are read."
    ),
  ]

  // A crash, or a sentence that does not say what to do, would show here.
  @Test(arguments: refusals) func refusalsSayWhatIsWrong(body: String, message: String) throws {
    let worker = try Worker {
      $0.inputLimit = 4
      $0.valueLimit = 20
    }
    let response = try worker.ask(body)
    #expect(response.status == 400)
    let error = try JSONValue(response.body)["error"]
    #expect(error?["message"]?.text == message)
    #expect(error?["type"]?.text == "invalid_request_error")
    // And the next one is served.
    #expect(try worker.vectors(#"{"input": "a"}"#).count == 1)
  }

  @Test func otherModelsAndPathsAreNotFound() throws {
    let worker = try Worker()
    let response = try worker.ask(#"{"input": "a", "model": "ada"}"#)
    #expect(response.status == 404)
    #expect(
      response.body
        == #"{"error":{"message":"The model 'ada' does not exist here; this worker serves "#
        + #"'tiny/bert'.","type":"invalid_request_error","param":"model","#
        + #""code":"model_not_found"}}"#)
    #expect(try worker.get("/v1/chat/completions").status == 404)
    let wrong = try worker.get("/v1/embeddings")
    #expect(wrong.status == 405)
    #expect(wrong["Allow"] == "POST")
  }

  // Numbers read back as the same float; what is outside of a text counts as a value, what is inside
  // does not.
  @Test(arguments: UInt64(0)..<4) func floatsReadBack(seed: UInt64) throws {
    var generator = SplitMix(state: seed)
    let size = 64
    let vector = (0..<size).map { _ in
      Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()) & 0xbf7f_ffff)
    }
    var request = EmbedRequest(dimensions: FakeEncoder.size)
    for _ in 0..<size / FakeEncoder.size { request.append([1]) }
    let json = try JSONValue(EmbedAnswer.json(request, vector, Worker.model()))
    let back = json["data"]?.elements?.flatMap {
      $0["embedding"]?.elements?.compactMap { $0.number.map { Float($0) } } ?? []
    }
    #expect(back == vector)
  }

  private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  @Test func valuesAreCountedOutsideOfTexts() {
    func count(_ text: String) -> Int {
      Array(text.utf8).withUnsafeBytes { Body.valueCount($0) }
    }
    #expect(count(#"{"a,[{": "x\",[", "b": [1, 2]}"#) == 5)
    #expect(count("") == 1)
  }
}
