import HTTP
import HTTP1
import Primitives

/// Bytes of a message in test spelling: `⏎` is CR LF, every other character below U+0100 one byte.
func wire(_ text: String) -> [UInt8] {
  var bytes: [UInt8] = []
  for scalar in text.unicodeScalars {
    if scalar == "⏎" {
      bytes += [0x0d, 0x0a]
    } else {
      bytes.append(UInt8(scalar.value))
    }
  }
  return bytes
}

/// The reverse of `wire`, for reading what a test got.
func spelled(_ bytes: some Sequence<UInt8>) -> String {
  var text = ""
  for byte in bytes { text.unicodeScalars.append(Unicode.Scalar(byte)) }
  return text.replacing("\r\n", with: "⏎")
}

/// Calls with the bytes in memory of exactly their size, so that a read behind them is a crash under
/// a sanitizer and garbage otherwise, never an unnoticed zero.
func withExactBytes<R>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) -> R) -> R {
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
  defer { copy.deallocate() }
  copy.copyBytes(from: bytes)
  return body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<bytes.count]))
}

extension Gather {
  /// Everything that was appended.
  var contents: [UInt8] {
    var bytes: [UInt8] = []
    for segment in segments {
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    return bytes
  }
}

/// What a request came to: its verdict, and when it is complete, the facts and what goes upstream.
struct ParsedRequest: Equatable {
  var result: HeadResult
  var method = ""
  var path = ""
  var query = ""
  var authority = ""
  var isHTTP11 = true
  var headBytes = 0
  var framing = Framing.none
  var keepAlive = false
  var expectContinue = false
  var upgrade = Upgrade.none
  var fields: [String] = []
  var upstream = ""

  var label: String {
    if case .rejected(let rejection) = result { return "\(rejection.label)" }
    return "\(result)"
  }
  var status: Int {
    if case .rejected(let rejection) = result { return rejection.status }
    return result == .complete ? 200 : 0
  }
}

/// How a test forwards, besides what it is about.
struct ForwardingChoice {
  var client = "10.1.2.3"
  var isTrusted = false
  var isSecure = false
  var requestID = ""
  var framing: Framing?
  var forwardExpect = false
}

func parseRequest(
  _ bytes: [UInt8], limits: HeadLimits = HeadLimits(),
  _ choice: ForwardingChoice = ForwardingChoice()
) -> ParsedRequest {
  withExactBytes(bytes) { input in
    var head = RequestHead(fieldCapacity: 4)
    let result = head.parse(input, limits: limits)
    guard result == .complete else { return ParsedRequest(result: result) }
    func text(_ range: ByteRange) -> String { spelled(range.bytes(in: input)) }
    var parsed = ParsedRequest(result: result)
    parsed.method = text(head.methodRange)
    parsed.path = text(head.path)
    parsed.query = text(head.query)
    parsed.authority = text(head.authority)
    parsed.isHTTP11 = head.isHTTP11
    parsed.headBytes = head.headBytes
    parsed.framing = head.framing
    parsed.keepAlive = head.keepAlive
    parsed.expectContinue = head.expectContinue
    parsed.upgrade = head.upgrade
    for index in 0..<head.fields.count {
      parsed.fields.append("\(text(head.fields[index].name)): \(text(head.fields[index].value))")
    }
    var gather = Gather()
    Array(choice.client.utf8).withUnsafeBytes { client in
      Array(choice.requestID.utf8).withUnsafeBytes { id in
        Array("fallback".utf8).withUnsafeBytes { host in
          let forwarding = Forwarding(
            clientAddress: client, keepForwarded: choice.isTrusted, isSecure: choice.isSecure,
            requestID: id, fallbackHost: host, upgrade: head.upgrade != .none,
            framing: choice.framing ?? head.framing, forwardExpect: choice.forwardExpect)
          writeRequest(head, from: input, forwarding, into: &gather)
        }
      }
    }
    parsed.upstream = spelled(gather.contents)
    return parsed
  }
}

func parseRequest(
  _ text: String, limits: HeadLimits = HeadLimits(),
  _ choice: ForwardingChoice = ForwardingChoice()
) -> ParsedRequest {
  parseRequest(wire(text), limits: limits, choice)
}

/// What an answer came to.
struct ParsedResponse: Equatable {
  var result: HeadResult
  var status = 0
  var framing = Framing.none
  var keepAlive = false
  var keepAliveSeconds: UInt32?
  var retryAfterSeconds: UInt32?
  var isEventStream = false
  var isInterim = false
  var headBytes = 0
  var client = ""

  var label: String {
    if case .rejected(let rejection) = result { return "\(rejection.label)" }
    return "\(result)"
  }
}

func parseResponse(
  _ bytes: [UInt8], to method: Method = .get, limits: HeadLimits = HeadLimits(),
  framing: Framing? = nil, close: Bool = false, clientIsHTTP11: Bool = true
) -> ParsedResponse {
  withExactBytes(bytes) { input in
    var head = ResponseHead(fieldCapacity: 4)
    let result = head.parse(input, limits: limits, requestMethod: method)
    guard result == .complete else { return ParsedResponse(result: result) }
    var gather = Gather()
    if head.isInterim {
      writeInterim(head, from: input, into: &gather)
    } else {
      writeResponse(
        head, from: input, framing: framing ?? head.framing, close: close,
        clientIsHTTP11: clientIsHTTP11, into: &gather)
    }
    return ParsedResponse(
      result: result, status: head.status, framing: head.framing, keepAlive: head.keepAlive,
      keepAliveSeconds: head.keepAliveSeconds, retryAfterSeconds: head.retryAfterSeconds,
      isEventStream: head.isEventStream, isInterim: head.isInterim, headBytes: head.headBytes,
      client: spelled(gather.contents))
  }
}

func parseResponse(_ text: String, to method: Method = .get) -> ParsedResponse {
  parseResponse(wire(text), to: method)
}

/// What a body came to.
struct DecodedBody: Equatable {
  var consumed = 0
  var payloadBytes = 0
  var finished = false
  var rejected: Rejection?
  /// What a decoder says when it is asked again after a refusal.
  var repeated: Rejection?
  /// What goes to the other side.
  var out: [UInt8] = []
  var segments = 0
}

/// Feeds a body in pieces of at most `piece` bytes.
func decode(
  _ bytes: [UInt8], _ framing: Framing, to outFraming: Framing, piece: Int = .max,
  limits: BodyLimits = BodyLimits(), closes: Bool = false
) -> DecodedBody {
  var decoder = BodyDecoder(framing)
  var body = DecodedBody()
  var gather = Gather()
  var position = 0
  while position < bytes.count, !decoder.isFinished, body.rejected == nil {
    let end = piece >= bytes.count - position ? bytes.count : position + piece
    let result = withExactBytes(Array(bytes[position..<end])) { input in
      let result = decoder.decode(input, outFraming: outFraming, limits: limits, into: &gather)
      body.out += gather.contents
      body.segments += gather.segments.count
      gather.reset()
      return result
    }
    body.consumed += result.consumed
    body.payloadBytes += result.payloadBytes
    body.rejected = result.rejected
    position += result.consumed
    if !result.finished, result.rejected == nil, position != end {
      preconditionFailure("body: bytes were left although it goes on")
    }
  }
  if body.rejected != nil {
    withExactBytes(wire("0⏎⏎")) { input in
      body.repeated =
        decoder.decode(input, outFraming: outFraming, limits: limits, into: &gather).rejected
    }
  }
  if closes { _ = decoder.finishAtClose(outFraming: outFraming, into: &gather) }
  body.out += gather.contents
  body.finished = decoder.isFinished
  return body
}
