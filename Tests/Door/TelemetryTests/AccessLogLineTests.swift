import Foundation
import HTTP
import Primitives
import Testing

@testable import Telemetry

/// A record with its texts, and the line that is made of them.
struct LoggedRequest {
  var record = RequestRecord()
  var wall: Int64 = 1_764_032_082_123_456_789
  var requestID = Array("5f2c".utf8)
  var client = Array("10.0.0.9".utf8)
  var method = Array("PURGE".utf8)
  var target = Array("/v1/chat/completions".utf8)
  var host = Array("api.example.org".utf8)
  var userAgent = Array("curl/8".utf8)
  var subject: [UInt8] = []

  /// Lends the texts for the time of the body.
  func withTexts<Result>(_ body: (RequestTexts) -> Result) -> Result {
    requestID.withUnsafeBytes { requestID in
      client.withUnsafeBytes { client in
        method.withUnsafeBytes { method in
          target.withUnsafeBytes { target in
            host.withUnsafeBytes { host in
              userAgent.withUnsafeBytes { userAgent in
                subject.withUnsafeBytes { subject in
                  var texts = RequestTexts()
                  texts.requestID = requestID
                  texts.client = client
                  texts.method = method
                  texts.target = target
                  texts.host = host
                  texts.userAgent = userAgent
                  texts.subject = subject
                  return body(texts)
                }
              }
            }
          }
        }
      }
    }
  }

  static let names: AccessLogNames = {
    var names = MetricNames()
    names.listeners = ["main"]
    names.routes = ["chat \"é\"", nil]
    names.pools = ["gpu"]
    names.members = [nil, .init(pool: 0, name: "gpu-1")]
    return AccessLogNames(names)
  }()

  func line(_ names: AccessLogNames = names) -> [UInt8] {
    withTexts { texts in
      let bound = AccessLogLine.bound(record, texts, names)
      var text = ByteText(capacity: bound)
      AccessLogLine.put(record, wall: wall, texts: texts, names: names, to: &text)
      #expect(text.count <= bound)
      return [UInt8](text.bytes)
    }
  }
}

struct AccessLogLineTests {
  private func parse(_ line: [UInt8]) throws -> [String: Any] {
    #expect(line.last == UInt8(ascii: "\n"))
    #expect(line.dropLast().allSatisfy { (0x20..<0x7F).contains($0) || $0 >= 0x80 })
    return try #require(
      try JSONSerialization.jsonObject(with: Data(line.dropLast())) as? [String: Any])
  }

  // The exact line, keys and order included: people cut it with tools that do not parse.
  @Test func aFinishedRequestIsOneLine() {
    var request = LoggedRequest()
    request.record.listener = 0
    request.record.route = 0
    request.record.pool = 0
    request.record.member = 1
    request.record.status = 200
    request.record.method = .post
    request.record.attempts = 2
    request.record.requestBytes = 812
    request.record.responseBytes = 20_480
    request.record.queue = .microseconds(4)
    request.record.firstByte = .microseconds(84_112)
    request.record.duration = .microseconds(2_210_870)
    request.record.added = .microseconds(61)
    request.record.upstreamConnectionReused = true
    request.subject = Array("anna".utf8)
    request.record.tls = .tls13
    request.record.tlsIsResumed = true
    #expect(
      String(decoding: request.line(), as: UTF8.self) == """
        {"time":"2025-11-25T00:54:42.123Z","request_id":"5f2c","client":"10.0.0.9",\
        "listener":"main","method":"POST","target":"/v1/chat/completions",\
        "host":"api.example.org","route":"chat \\"é\\"","pool":"gpu","backend":"gpu-1",\
        "status":200,"reason":"completed","attempts":2,"request_bytes":812,\
        "response_bytes":20480,"queue_ms":0.004,"connect_ms":null,"first_byte_ms":84.112,\
        "duration_ms":2210.870,"added_ms":0.061,"reused":true,"upgrade":false,\
        "tls":"1.3","tls_resumed":true,"tls_client":"","user_agent":"curl/8","key":null,\
        "subject":"anna"}

        """)
  }

  // A request turned away at once has no route, no backend and no times; the line has all keys still.
  @Test func whatWasNeverReachedIsNull() throws {
    var request = LoggedRequest()
    request.record.reason = .rejectedSyntax
    request.record.status = 400
    // A route that a reload removed.
    request.record.route = 1
    request.target = []
    request.host = []
    let line = try parse(request.line())
    for key in ["listener", "route", "pool", "backend", "connect_ms", "first_byte_ms", "added_ms"] {
      #expect(line[key] is NSNull, "\(key)")
    }
    #expect(line["method"] as? String == "PURGE")
    #expect(line["target"] as? String == "")
    #expect(line["reason"] as? String == "rejected_syntax")
  }

  // Whatever bytes a client sends, at whatever place within eight: the line parses, stays one line,
  // and gives the bytes back. A forged second line is the classic attack on logs.
  @Test(arguments: 0..<9) func everyByteSurvives(offset: Int) throws {
    var request = LoggedRequest()
    for byte in UInt8.min...UInt8.max {
      let bytes = [UInt8](repeating: 0x61, count: offset) + [byte] + Array("tail of text".utf8)
      request.userAgent = bytes
      let said = try #require(try parse(request.line())["user_agent"] as? String)
      #expect(said.unicodeScalars.map { UInt8($0.value) } == bytes)
    }
  }

  // The word-wise search for bytes to escape, against one byte at a time.
  @Test(arguments: UInt64(0)..<4) func randomBytesSurvive(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var request = LoggedRequest()
    for _ in 0..<200 {
      // Mostly letters, so that whole words pass untouched next to words that do not.
      request.host = (0..<random.below(60)).map { _ in
        random.below(20) == 0 ? UInt8(random.below(256)) : UInt8(0x61 + random.below(26))
      }
      let said = try #require(try parse(request.line())["host"] as? String)
      #expect(said.unicodeScalars.map { UInt8($0.value) } == request.host)
    }
  }

  // Lines are bounded whatever comes: the ring reserves `bound`, and a line beyond it would overwrite
  // its neighbour. Every text at its worst, every number at its longest.
  @Test func theLongestLineStaysWithinItsBound() throws {
    var request = LoggedRequest()
    let worst = [UInt8](repeating: 0, count: 100_000)
    request.requestID = worst
    request.client = worst
    request.method = worst
    request.target = worst
    request.host = worst
    request.userAgent = worst
    request.subject = worst
    request.record.status = .max
    request.record.attempts = .max
    request.record.reason = TerminationReason.allCases.max {
      $0.label.utf8CodeUnitCount < $1.label.utf8CodeUnitCount
    }!
    request.record.requestBytes = .max
    request.record.responseBytes = .max
    request.record.tls = .tls13
    let longest = TimeAmount(nanoseconds: .max)
    request.record.queue = longest
    request.record.connect = longest
    request.record.firstByte = longest
    request.record.duration = longest
    request.record.added = longest
    let line = request.line()
    #expect(line.count < 60_000)
    let parsed = try parse(line)
    #expect((parsed["target"] as? String)?.hasSuffix("\u{0}...") == true)
    #expect((parsed["target"] as? String)?.unicodeScalars.count == AccessLogLine.targetLimit + 3)
    let texts = 6 * AccessLogLine.textLimit + AccessLogLine.targetLimit
    let frame = line.count - ByteText.jsonBound(texts)
    #expect(frame <= AccessLogLine.frameBytes, "frameBytes must be at least \(frame)")
  }
}
