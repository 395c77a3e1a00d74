import JSONScan
import Primitives
import Testing

/// Budgets are settled by what the engine counted. A usage that is missed leaves a key's budget
/// untouched; one that a model's text can forge makes tokens free.
struct UsageScanTests {
  // The last usage counts, wherever the engine puts it; text of a model never does.
  @Test(arguments: [
    (
      #"{"id":"x","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}"#,
      TokenUsage(input: 12, output: 34, total: 46)
    ),
    (
      #"{"usage": {"prompt_tokens" : 1, "total_tokens":1, "prompt_tokens_details":{"total_tokens":9}}, "data":[{"x":"}]"}]}"#,
      TokenUsage(input: 1, total: 1)
    ),
    (#"{"usage":{"input_tokens":3,"output_tokens":4}}"#, TokenUsage(input: 3, output: 4, total: 7)),
    // Not outermost.
    (#"{"metadata":{"usage":{"prompt_tokens":1}}}"#, nil),
    (#"[{"usage":{"prompt_tokens":1}}]"#, nil),
    // An inner one before and after the one that counts.
    (
      #"{"a":{"usage":{"prompt_tokens":1}},"usage":{"prompt_tokens":2},"b":[{"usage":{"prompt_tokens":3}}]}"#,
      TokenUsage(input: 2)
    ),
    // In a text, in a value, in a name, and null.
    (#"{"content":"\"usage\":{\"prompt_tokens\":1}"}"#, nil),
    (#"{"a":"usage","b":{"prompt_tokens":1}}"#, nil),
    (#"{"a\"usage":{"prompt_tokens":1}}"#, nil), (#"{"usage":null}"#, nil),
    (#"{"usage":{}}"#, nil), (#"{"usage":[{"prompt_tokens":1}]}"#, nil),
    (#"{"usagE":{"prompt_tokens":1},"use":{"prompt_tokens":1}}"#, nil),
    // Values that count no tokens.
    (#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5,"total_tokens":"3"}}"#, nil),
    (#"{"usage":{"prompt_tokens":1e3,"completion_tokens":null,"total_tokens":[3]}}"#, nil),
    (
      #"{"usage":{"prompt_tokens":99999999999999999999999,"completion_tokens":0}}"#,
      TokenUsage(input: 1_000_000_000_000, output: 0, total: 1_000_000_000_000)
    ),
    // Not whole.
    (#"{"usage":{"prompt_tokens":1"#, nil), ("", nil), ("\"usage\"", nil),
  ])
  func wholeTexts(text: String, expected: TokenUsage?) {
    #expect(usage(text, .json).usage == expected)
    for cut in 0...text.utf8.count {
      #expect(usage(text, .json, cuts: [cut]).usage == expected, "cut at \(cut)")
    }
    #expect(usage(text, .json, cuts: Array(1..<max(text.utf8.count, 1))).usage == expected)
  }

  static let openAI =
    #"data: {"id":"1","choices":[{"delta":{"content":"Hi \"usage\":{"}}],"usage":null}"# + "\n\n"
    + #"data: {"id":"1","choices":[{"delta":{"content":"!"}}]}"# + "\n\n: keep-alive\n\n"
    + #"data: {"id":"1","choices":[],"usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2}}"#
    + "\n\ndata: [DONE]\n\n"

  static let anthropic = """
    event: message_start
    data: {"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":25,"output_tokens":1}}}

    event: ping
    data: {"type": "ping"}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}

    event: message_stop
    data: {"type":"message_stop"}


    """

  static let responses = """
    event: response.created
    data: {"type":"response.created","response":{"id":"r","usage":null,"metadata":{}}}

    event: response.completed
    data: {"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7},"metadata":{"usage":{"input_tokens":9}}}}


    """

  @Test(arguments: [
    (openAI, TokenUsage(input: 5, output: 2, total: 7), 3),
    (anthropic, TokenUsage(input: 25, output: 15, total: 40), 4),
    (responses, TokenUsage(input: 3, output: 4, total: 7), 2),
    // The last of several, as vLLM sends them with continuous_usage_stats.
    (
      "data:{\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\n"
        + "data:{\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
      TokenUsage(input: 5, output: 2, total: 7), 2
    ),
    // Without the empty line at the end, without any line end, with fields that are no data.
    ("data: {\"usage\":{\"prompt_tokens\":5}}\n", TokenUsage(input: 5), 1),
    ("data: {\"usage\":{\"prompt_tokens\":5}}", TokenUsage(input: 5), 1),
    ("id: {\"usage\":{\"prompt_tokens\":5}}\n\n", nil, 0),
    ("data: {\"a\":{\"b\":{\"usage\":{\"prompt_tokens\":5}}}}\n\n", nil, 1),
    // A line that is no JSON ends with the line; data in two lines is one event.
    ("data: {\"usage\":{\"prompt_tokens\":5\n\ndata: }}\n\n", nil, 2),
    ("data: {\"usage\":{\"prompt_tok\ndata: x\n\n", nil, 1),
    ("data:\n\ndata: \n\ndata\n\n\n\n", nil, 0),
  ])
  func eventStreams(text: String, expected: TokenUsage?, events: Int) {
    for text in [text, text.replacing("\n", with: "\r\n"), text.replacing("\n", with: "\r")] {
      let whole = usage(text, .eventStream)
      #expect(whole.usage == expected)
      #expect(whole.events == events)
      for cut in 0...text.utf8.count {
        let cutUp = usage(text, .eventStream, cuts: [cut])
        #expect(cutUp == whole, "cut at \(cut)")
      }
      #expect(usage(text, .eventStream, cuts: Array(1..<text.utf8.count)) == whole)
    }
  }

  // Whatever comes, and however it is cut, nothing traps and the cut does not matter.
  @Test(arguments: UInt64(0)..<20) func nonsense(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let parts = [
      "\"usage\":{", "\"usage\"", "{", "}", "[", "]", "\"", "\\", ":", ",", "\n", "\r\n", "data: ",
      "\"prompt_tokens\":", "\"total_tokens\": ", "12", "-", "1.5", " ", "null", "x",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\"completion_tokens\":7", "{\"usage\":", "\n\n",
    ]
    for _ in 0..<150 {
      var text = random.below(2) == 0 ? "data: " : ""
      for _ in 0..<random.below(30) { text += parts[random.below(parts.count)] }
      let places = cuts(text.utf8.count, most: 6, &random)
      for format in [UsageScan.Format.json, .eventStream] {
        #expect(usage(text, format) == usage(text, format, cuts: places), "\(text) \(places)")
      }
    }
  }
}
