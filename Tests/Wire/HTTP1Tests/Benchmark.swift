import HTTP
import HTTP1
import Primitives
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// What a request costs in this room. Not part of a test run: it measures, it does not judge.
///
/// ```
/// PORTICO_BENCH=1 swift test -c release -Xswiftc -enable-testing --filter HTTP1Tests.Benchmark
/// ```
@Suite(.serialized, .enabled(if: getenv("PORTICO_BENCH") != nil)) struct Benchmark {
  /// Best of many short rounds of this thread's own time, because neighbours only ever add.
  /// Nanoseconds per call.
  private func measure(_ name: String, _ body: () -> Void) {
    let calls = 10_000
    var best = Int64.max
    for _ in 0..<300 {
      let start = now()
      for _ in 0..<calls { body() }
      best = min(best, now() - start)
    }
    print("\(name): \(Double(best / Int64(calls / 10)) / 10) ns")
  }

  private func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// The head that wrk sends in the bench, through the parser and out again.
  @Test func request() {
    measureRequest(SplitAndFuzzTests.requests[0])
    measureRequest(
      "POST /v1/chat/completions HTTP/1.1⏎Host: inference.example.org⏎"
        + "User-Agent: OpenAI/Python 1.99.1⏎Accept: application/json⏎"
        + "Authorization: Bearer sk-0123456789abcdef0123456789abcdef⏎"
        + "Content-Type: application/json⏎Content-Length: 250⏎⏎")
  }

  private func measureRequest(_ text: String) {
    let text = wire(text)
    let id = Array("0123456789abcdef".utf8)
    let address = Array("127.0.0.1".utf8)
    withExactBytes(text) { input in
      id.withUnsafeBytes { id in
        address.withUnsafeBytes { address in
          var head = RequestHead(fieldCapacity: 64)
          var gather = Gather()
          let limits = HeadLimits()
          var completed = 0
          measure("parse \(input.count) bytes") {
            if head.parse(input, limits: limits) == .complete { completed += 1 }
          }
          #expect(completed > 0)
          let forwarding = Forwarding(
            clientAddress: address, requestID: id, framing: head.framing)
          measure("write request") {
            writeRequest(head, from: input, forwarding, into: &gather)
            gather.reset()
          }
        }
      }
    }
  }

  /// An answer's head, through the parser and out again.
  @Test func response() {
    let text = wire(
      "HTTP/1.1 200 OK⏎Content-Type: application/json⏎Content-Length: 412⏎"
        + "Date: Wed, 25 Nov 2026 01:13:21 GMT⏎Server: uvicorn⏎⏎")
    withExactBytes(text) { input in
      var head = ResponseHead(fieldCapacity: 64)
      var gather = Gather()
      let limits = HeadLimits()
      measure("parse response of \(input.count) bytes") {
        _ = head.parse(input, limits: limits, requestMethod: .post)
      }
      measure("write response") {
        writeResponse(
          head, from: input, framing: head.framing, close: false, clientIsHTTP11: true,
          into: &gather)
        gather.reset()
      }
    }
  }

  /// One event of a stream per call, and a long prompt in one chunk.
  @Test func bodies() {
    let event = wire("2d⏎data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}⏎")
    withExactBytes(event) { input in
      var gather = Gather()
      var decoder = BodyDecoder(.chunked)
      let limits = BodyLimits()
      measure("one chunk of an event stream") {
        _ = decoder.decode(input, outFraming: .chunked, limits: limits, into: &gather)
        gather.reset()
      }
    }
  }
}
