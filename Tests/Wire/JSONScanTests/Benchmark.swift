import JSONScan
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// What a byte costs in this room, beside `memchr`. Not part of a test run: it measures, it does not
/// judge.
///
/// ```
/// PORTICO_BENCH=1 swift test -c release -Xswiftc -enable-testing --filter JSONScanTests.Benchmark
/// ```
@Suite(.serialized, .enabled(if: getenv("PORTICO_BENCH") != nil)) struct Benchmark {
  /// Best of many short rounds of this thread's own time, because neighbours only ever add.
  private func measure(_ name: String, bytes: Int, _ body: () -> Void) {
    let calls = max(1, 4_000_000 / max(bytes, 1))
    var best = Int64.max
    for _ in 0..<100 {
      let start = now()
      for _ in 0..<calls { body() }
      best = min(best, now() - start)
    }
    let each = Double(best) / Double(calls)
    let rate = Int(Double(bytes) * 100 / each)
    print("\(name): \(Int(each)) ns for \(bytes) bytes, \(Double(rate) / 100) bytes/ns")
  }

  private func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  static let line = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. "

  private func chat(_ content: String) -> [UInt8] {
    Array(
      #"{"messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"\#(content)"}],"model":"meta-llama/Llama-3.1-8B","stream":true,"max_tokens":128}"#
        .utf8)
  }

  @Test func requests() {
    let plain = String(repeating: Self.line, count: 1_500)
    let lines = String(repeating: Self.line + "\\n", count: 1_500)
    let escapes = String(repeating: "\\u4e2d\\u6587", count: 8_000)
    let tool =
      #"{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string","enum":["a","b"]}},"required":["city"]}}},"#
    let tools = Array(
      ("{\"model\":\"m\",\"tools\":[" + String(repeating: tool, count: 200) + "1]}").utf8)
    let ids = Array(
      ("{\"model\":\"m\",\"prompt\":[" + String(repeating: "12345, ", count: 10_000) + "1]}").utf8)
    for (name, bytes) in [
      ("short chat", chat("Hello")), ("prompt", chat(plain)), ("prompt with lines", chat(lines)),
      ("prompt all escaped", chat(escapes)), ("tools", tools), ("token ids", ids),
    ] {
      var ended = 0
      bytes.withUnsafeBytes { bytes in
        measure(name, bytes: bytes.count) {
          var scan = RequestScan()
          if scan.scan(bytes) == .ended { ended += 1 }
        }
        measure("  memchr", bytes: bytes.count) {
          // Not a constant, or the compiler asks once for all calls.
          if memchr(bytes.baseAddress!, Int32(1 + ended & 1), bytes.count) == nil { ended += 1 }
        }
      }
      #expect(ended > 0)
    }
  }

  @Test func answers() {
    let event =
      #"data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"meta-llama/Llama-3.1-8B","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]"#
    let usage =
      #","usage":{"prompt_tokens":100,"total_tokens":117,"completion_tokens":17}}"# + "\n\n"
    for (name, text) in [
      ("event", event + "}\n\n"), ("event with null", event + ",\"usage\":null}\n\n"),
      ("event with usage", event + usage),
    ] {
      let bytes = Array(text.utf8)
      var scan = UsageScan(.eventStream)
      bytes.withUnsafeBytes { bytes in measure(name, bytes: bytes.count) { scan.scan(bytes) } }
      #expect(scan.events > 0)
    }
    let whole = chat(String(repeating: Self.line, count: 1_500))
    var scan = UsageScan(.json)
    whole.withUnsafeBytes { bytes in measure("answer", bytes: bytes.count) { scan.scan(bytes) } }
  }
}
