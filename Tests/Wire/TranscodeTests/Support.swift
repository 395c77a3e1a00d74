import HTTP
import HTTP1
import Primitives

@testable import HTTP2
@testable import Transcode

/// A head of HTTP/2 and the text that its ranges point into.
struct SampleHead {
  var head = HTTP2Head()
  var text: [UInt8] = []

  /// - Parameter fields: pseudo-fields first, as a session would hand them over.
  init(_ fields: [(String, String)]) {
    func append(_ value: String) -> ByteRange {
      let start = text.count
      text += value.utf8
      return ByteRange(start, text.count)
    }
    for (name, value) in fields where name.hasPrefix(":") {
      switch name {
      case ":method": head.method = append(value)
      case ":scheme": head.scheme = append(value)
      case ":authority": head.authority = append(value)
      case ":path": head.path = append(value)
      default: head.status = append(value)
      }
    }
    let start = text.count
    for (name, value) in fields where !name.hasPrefix(":") {
      _ = append("\(name): \(value)\r\n")
      switch name {
      case "content-length": head.hasContentLength = true
      case "host": head.hasHost = true
      case "cookie": head.cookies += 1
      default: break
      }
    }
    head.lines = ByteRange(start, text.count)
  }
}

/// A request by its method and path, and more fields.
func sample(
  _ method: String = "GET", _ path: String = "/", _ more: [(String, String)] = []
) -> SampleHead {
  SampleHead(
    [
      (":method", method), (":scheme", "http"), (":authority", "a.example"), (":path", path),
    ] + more)
}

/// What becomes of a request: its text, or why not.
func requestText(
  _ sample: SampleHead, _ known: RequestText.Body = .whole(0), body: String = ""
) -> String {
  var gather = Gather()
  return sample.text.withUnsafeBytes { text in
    let outcome = RequestText.write(
      sample.head, text, known, room: body.utf8.count, into: &gather
    ) { room in
      room.copyBytes(from: body.utf8)
      return body.utf8.count
    }
    switch outcome {
    case .text(let bytes): return String(decoding: bytes, as: UTF8.self)
    case .refused(let rejection): return "refused: \(rejection)"
    }
  }
}

/// What becomes of an answer; nil when it is none.
func answerText(
  _ sample: SampleHead, length: Int? = nil, answersHead: Bool = false, body: String = ""
) -> String? {
  var gather = Gather()
  return sample.text.withUnsafeBytes { text in
    AnswerText.write(
      sample.head, text, length: length, answersHead: answersHead, room: body.utf8.count,
      into: &gather
    ) { room in
      room.copyBytes(from: body.utf8)
      return body.utf8.count
    }.map { String(decoding: $0, as: UTF8.self) }
  }
}
