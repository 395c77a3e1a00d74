import Primitives
import Testing

@testable import JSONScan

/// The scan decides for which model a key may ask and what it costs. What it reads otherwise than
/// the backend does is a way around every limit.
struct RequestScanTests {
  // The everyday request, with every member that matters.
  @Test func chat() {
    let outcome = scan(
      #"""
      {"messages":[{"role":"user","content":"Hello, \"you\"\n"},
        {"role":"user","content":[{"type":"text","text":"é"},
         {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],
       "temperature":0.7,"stream":true,"max_tokens":16,"max_completion_tokens":32,"n":2,
       "metadata":{"model":"x","stream":false},"model":"meta-llama/Llama-3.1-8B"}
      """#)
    #expect(outcome.progress == .ended)
    #expect(outcome.model == "meta-llama/Llama-3.1-8B")
    #expect(outcome.stream == true)
    #expect(outcome.outputLimit == 32)
    #expect(outcome.choices == 2)
    // user, Hello with its escapes, user, text, é, image_url.
    #expect(outcome.promptBytes == 4 + 16 + 4 + 4 + 2 + 9)
    #expect(outcome.dataURLBytes == 26)
    #expect(outcome.oddKinds == [])
    #expect(
      outcome.seen == [.messages, .stream, .maxTokens, .maxCompletionTokens, .n, .model])
  }

  // Every kind of prompt is counted, names and what is no prompt are not.
  @Test(arguments: [
    (#"{"prompt":"abc"}"#, 3, 0), (#"{"prompt":["ab","c"]}"#, 3, 0),
    (#"{"prompt":[[1,2],[3]]}"#, 0, 3), (#"{"input":"ab","instructions":"c"}"#, 3, 0),
    (#"{"system":[{"type":"text"}],"user":"nobody"}"#, 4, 0), (#"{"prompt":""}"#, 0, 0),
    (#"{"prompt":"dat","x":{"prompt":"abc"}}"#, 3, 0), (#"{"prompt":"data"}"#, 4, 0),
    (#"{"input":"data:"}"#, 0, 0), (#"{"input":"\u0064ata:"}"#, 10, 0),
  ])
  func promptsAreCounted(text: String, bytes: Int, numbers: Int) {
    let outcome = scan(text)
    #expect(outcome.progress == .ended)
    #expect(outcome.promptBytes == bytes)
    #expect(outcome.promptNumbers == numbers)
  }

  // The model decides over keys and routes: it must be what the backend's parser decodes.
  @Test(arguments: [
    (#"{"model":"a"}"#, "a"), (#"{"mod\u0065l":"\u0061\/b"}"#, "a/b"), (#" {"model" : "" } "#, ""),
    (#"{"model":"\u00e9\u4e2d\ud83d\ude00"}"#, "é中😀"), (#"{"model":"é中😀"}"#, "é中😀"),
    (#"{"a":[{"model":"x"}],"model":"y"}"#, "y"), (#"{"model":"\"\\"}"#, "\"\\"),
  ])
  func modelsAreDecoded(text: String, model: String) {
    let outcome = scan(text)
    #expect(outcome.progress == .ended)
    #expect(outcome.model == model)
  }

  // A member of an inner object is no model, and null is none either.
  @Test(arguments: [
    #"{"metadata":{"model":"x"}}"#, #"{"model":null}"#, #"{"models":"x","mode":"y","":"z"}"#, "{}",
    #"{"x":"model","y":["model","x"]}"#, #"{"model ":"x"," model":"y"}"#,
  ])
  func thereIsNoModel(text: String) {
    let outcome = scan(text)
    #expect(outcome.progress == .ended)
    #expect(outcome.model == nil)
  }

  // Two parsers may read each of these differently.
  @Test(arguments: [
    (#"{"model":"a","model":"b"}"#, ScanRefusal.Reason.nameTwice, 19, RequestNames.model),
    (#"{"model":null,"model":"b"}"#, .nameTwice, 20, .model),
    (#"{"model":"a","\u006dodel":"a"}"#, .nameTwice, 24, .model),
    (#"{"stream":true,"stream":false}"#, .nameTwice, 22, .stream),
    (#"{"max_tokens":1,"max_tokens":2}"#, .nameTwice, 27, .maxTokens),
    (#"{"Model":"a"}"#, .nameCase, 7, .model),
    (#"{"model":"a","MODEL":"b"}"#, .nameCase, 19, .model),
    ("{\"\u{17f}tream\":true}", .nameCase, 9, .stream),
    ("{\"max_to\u{212a}ens\":1}", .nameCase, 14, .maxTokens),
    (#"{"max_to\u212aens":1}"#, .nameCase, 17, .maxTokens),
    (#"{"model\u0000":"a"}"#, .nameUnsafe, 12, RequestNames()),
    (#"{"model\ud800":"a"}"#, .nameUnsafe, 13, RequestNames()),
    (#"{"model\ud800\u0041":"a"}"#, .nameUnsafe, 18, RequestNames()),
    (#"{"model\udc00":"a"}"#, .nameUnsafe, 12, RequestNames()),
    (#"{"model":"a\n"}"#, .modelUnsafe, 12, .model),
    (#"{"model":"a\ud800"}"#, .modelUnsafe, 17, .model),
    (#"{"model":["a"]}"#, .modelNotText, 9, .model),
    (#"{"model":5}"#, .modelNotText, 9, .model),
    (#"{"model":true}"#, .modelNotText, 9, .model),
    (#"{"model":{"a":1}}"#, .modelNotText, 9, .model),
  ])
  func whatParsersDisagreeOnIsRefused(
    text: String, reason: ScanRefusal.Reason, offset: Int, name: RequestNames
  ) {
    #expect(
      scan(text).progress == .refused(ScanRefusal(reason: reason, offset: offset, name: name)))
  }

  // Bytes that are not UTF-8: dropped by one parser, replaced by another.
  @Test func otherEncodingsAreRefused() {
    func reason(_ bytes: [UInt8]) -> ScanRefusal.Reason? {
      guard case .refused(let refusal) = scan(bytes).progress else { return nil }
      return refusal.reason
    }
    #expect(reason(Array(#"{"model"#.utf8) + [0xff] + Array(#"":"a"}"#.utf8)) == .nameUnsafe)
    #expect(reason(Array(#"{"model"#.utf8) + [0xe4] + Array(#"":"a"}"#.utf8)) == .nameUnsafe)
    #expect(
      reason(Array(#"{"model":"a"#.utf8) + [0xc0, 0xaf] + Array(#""}"#.utf8)) == .modelUnsafe)
    #expect(reason([0xef, 0xbb, 0xbf] + Array("{}".utf8)) == .byteOrderMark)
    // UTF-16, which Python's json.loads would read.
    #expect(reason(Array(#"{"model":"a"}"#.utf8).flatMap { [$0, 0] }) == .notJSON)
  }

  @Test(arguments: [
    ("", ScanRefusal.Reason.notAnObject, 0), ("  ", .notAnObject, 2), ("[1]", .notAnObject, 0),
    ("\"x\"", .notAnObject, 0), ("5", .notAnObject, 0), ("null", .notAnObject, 0),
    ("hello=1", .notJSON, 0), ("{", .truncated, 1), (#"{"a":1"#, .truncated, 6),
    (#"{"a":"b"#, .truncated, 7), ("{} x", .notJSON, 3), ("{}{", .notJSON, 2),
    ("{,}", .notJSON, 1), (#"{"a":1,}"#, .notJSON, 7), (#"{"a" 1}"#, .notJSON, 5),
    (#"{"a":}"#, .notJSON, 5), (#"{"a":[1,]}"#, .notJSON, 8), (#"{"a":[1}"#, .notJSON, 7),
    (#"{"a":{]}"#, .notJSON, 6), (#"{"a":1]"#, .notJSON, 6), ("{'a':1}", .notJSON, 1),
    ("{a:1}", .notJSON, 1), (#"{"a":01}"#, .notJSON, 6), (#"{"a":+1}"#, .notJSON, 5),
    (#"{"a":1.}"#, .notJSON, 7), (#"{"a":.5}"#, .notJSON, 5), (#"{"a":1e}"#, .notJSON, 7),
    (#"{"a":-}"#, .notJSON, 6), (#"{"a":NaN}"#, .notJSON, 5), (#"{"a":tru}"#, .notJSON, 8),
    (#"{"a":truex}"#, .notJSON, 9), (#"{"a":nul}"#, .notJSON, 8), (#"{"a":"\x"}"#, .notJSON, 7),
    (#"{"a":"\u12g4"}"#, .notJSON, 10), ("{\"a\":\"\n\"}", .notJSON, 6),
    ("{\"\t\":1}", .notJSON, 2),
    (#"{"a":1 "b":2}"#, .notJSON, 7), ("{/**/}", .notJSON, 1), (#"{"a":1}"# + "\0", .notJSON, 7),
    (#"{"model":tru}"#, .modelNotText, 9), (#"{"model":x}"#, .notJSON, 9),
  ])
  func whatIsNotJSONIsRefusedAtItsPlace(text: String, reason: ScanRefusal.Reason, offset: Int) {
    guard case .refused(let refusal) = scan(text).progress else {
      Issue.record("accepted \(text)")
      return
    }
    #expect(refusal.reason == reason)
    #expect(refusal.offset == offset)
  }

  // A limit that depends on a value of another kind must not be passed by it.
  @Test(arguments: [
    (#"{"max_tokens":"16"}"#, RequestNames.maxTokens), (#"{"max_tokens":-1}"#, .maxTokens),
    (#"{"max_tokens":1e3}"#, .maxTokens), (#"{"max_tokens":16.0}"#, .maxTokens),
    (#"{"max_tokens":[1]}"#, .maxTokens), (#"{"n":{}}"#, .n), (#"{"n":true}"#, .n),
    (#"{"stream":"true"}"#, .stream), (#"{"stream":1}"#, .stream), (#"{"stream":[]}"#, .stream),
    (#"{"prompt":5}"#, .prompt), (#"{"prompt":false}"#, .prompt),
    (#"{"prompt":null}"#, RequestNames()),
    (#"{"stream":null,"max_tokens":null}"#, RequestNames()), (#"{"n":0}"#, RequestNames()),
  ])
  func oddKindsAreNamed(text: String, names: RequestNames) {
    let outcome = scan(text)
    #expect(outcome.progress == .ended)
    #expect(outcome.oddKinds == names)
    #expect(outcome.stream == nil)
    #expect(outcome.outputLimit == nil)
  }

  // No overflow, whatever number stands there.
  @Test func numbersSaturate() {
    #expect(
      scan("{\"max_tokens\":\(String(repeating: "9", count: 400))}").outputLimit
        == 1_000_000_000_000)
    #expect(scan(#"{"max_tokens":0,"max_output_tokens":7,"n":1,"best_of":3}"#).choices == 3)
  }

  // The head start: the body may leave as soon as the model is known, and not before.
  @Test func progressAfterEachPiece() {
    var scan = RequestScan(limits: ScanLimits(searchBytes: 20))
    func feed(_ text: String) -> ScanProgress {
      Array(text.utf8).withUnsafeBytes { scan.scan($0) }
    }
    #expect(feed(#"{"prompt":"a"#) == .needMore)
    #expect(feed("bcdefghijk") == .limitReached)
    #expect(feed(#"","model":"x"#) == .limitReached)
    #expect(feed("\"") == .found)
    #expect(feed(",") == .found)
    #expect(
      feed("\"model\"") == .refused(ScanRefusal(reason: .nameTwice, offset: 42, name: .model)))
    #expect(feed("x") == .refused(ScanRefusal(reason: .nameTwice, offset: 42, name: .model)))
    scan = RequestScan(awaiting: [.model, .prompt])
    #expect(feed(#"{"model":"x","prompt":["#) == .needMore)
    #expect(feed(#""a"]"#) == .found)
    #expect(feed("}") == .ended)
    #expect(feed(" \n") == .ended)
    #expect(scan.finish() == .ended)
    scan = RequestScan(awaiting: [])
    #expect(scan.scan(UnsafeRawBufferPointer(start: nil, count: 0)) == .found)
  }

  @Test func depthIsBounded() {
    func nested(_ depth: Int, limit: Int) -> ScanProgress {
      let inner = depth - 1
      return scan(
        "{\"a\":" + String(repeating: "[", count: inner) + String(repeating: "]", count: inner)
          + "}", limits: ScanLimits(depth: limit)
      ).progress
    }
    #expect(nested(100, limit: 100) == .ended)
    #expect(
      nested(101, limit: 100)
        == .refused(ScanRefusal(reason: .tooDeep, offset: 104, name: [])))
    #expect(nested(128, limit: 1_000) == .ended)
    #expect(nested(129, limit: 1_000) != .ended)
    // Objects and arrays in turn, each closed by its own bracket.
    let pairs = 40
    #expect(
      scan(
        String(repeating: "{\"a\":[", count: pairs) + String(repeating: "]}", count: pairs)
      ).progress == .ended)
  }

  @Test func modelsAreBounded() {
    let longest = String(repeating: "m", count: 256)
    #expect(scan("{\"model\":\"\(longest)\"}").model == longest)
    #expect(
      scan("{\"model\":\"\(longest)m\"}").progress
        == .refused(ScanRefusal(reason: .modelTooLong, offset: 266, name: .model)))
  }

  // Each reason has a sentence that fits into JSON, and a label of its own.
  @Test func refusalsSayWhatToDo() {
    var labels: Set<String> = []
    for reason in ScanRefusal.Reason.allCases {
      let text = ScanRefusal(reason: reason, offset: 7, name: .maxTokens).description
      #expect(text.hasSuffix("."))
      #expect(!text.contains("\"") && !text.contains("\\"))
      labels.insert("\(reason.label)")
    }
    #expect(labels.count == ScanRefusal.Reason.allCases.count)
    #expect(
      ScanRefusal(reason: .nameTwice, offset: 7, name: .maxTokens).description
        == "The member max_tokens stands twice, and servers disagree on which counts; send it once."
    )
    #expect(
      ScanRefusal(reason: .notJSON, offset: 7, name: []).description
        == "The body is not JSON at byte 7; send one JSON object.")
  }
}
