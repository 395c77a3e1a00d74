import EventLoop
import Glibc
import Primitives

/// How one probe ended.
enum ProbeOutcome: Sendable, Equatable {
  case good
  case bad(ProbeFailure)
  /// The probe failed for want of something of ours, such as descriptors. Says nothing about the
  /// member, so it counts neither way: a busy front door must not take its own fleet out.
  case inconclusive(ProbeFailure)
}

/// Why a probe is no good, in the words that `/fleet` shows as the last error.
enum ProbeFailure: Error, Sendable, Equatable, CustomStringConvertible {
  /// `code` is an errno.
  case connect(code: Int32)
  case connectTimeout(TimeAmount)
  case timeout(TimeAmount)
  case status(Int, low: Int, high: Int)
  case closedWithoutAnswer
  case closedBeforeEnd
  /// `code` is an errno, 0 where libcurl knows none.
  case broken(code: Int32)
  case notHTTP
  /// A call that ended otherwise than with OK, by the code's name; and what its message said.
  case grpc(code: String, message: String)
  /// A health service's answer, by its name.
  case notServing(String)
  /// The connection ended without an answer by HTTP/2.
  case noHTTP2
  /// An answer by HTTP/2 that is no gRPC.
  case notGRPC
  /// The certificate could not be verified. In libcurl's words.
  case certificate(String)
  /// In libcurl's words.
  case handshake(String)
  /// What was short, as an errno.
  case noRoom(code: Int32)
  /// In libcurl's words.
  case other(String)

  /// Shortages on our side of a connection attempt.
  static let ourFaults: Set<Int32> = [EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRNOTAVAIL]

  var description: String {
    switch self {
    case .connect(ECONNREFUSED): "connect refused"
    case .connect(let code): "connect failed: \(SystemError.text(code))"
    case .connectTimeout(let limit): "connect timed out after \(limit)"
    case .timeout(let limit): "timed out after \(limit)"
    case .status(let status, let low, let high):
      low == high
        ? "status \(status), expected \(low)" : "status \(status), expected \(low)-\(high)"
    case .closedWithoutAnswer: "closed without an answer"
    case .closedBeforeEnd: "closed before the answer ended"
    case .broken(0): "connection broke"
    case .broken(let code): "connection broke: \(SystemError.text(code))"
    case .notHTTP: "answer is not HTTP/1"
    case .grpc(let code, let message):
      "grpc status \(code)" + (message.isEmpty ? "" : ": \(message.prefix(200))")
    case .notServing(let name): "health service says \(name)"
    case .noHTTP2: "closed without an answer by HTTP/2"
    case .notGRPC: "answer is not gRPC"
    case .certificate(let text): "certificate not verified: \(text)"
    case .handshake(let text): "TLS handshake failed: \(text)"
    case .noRoom(let code): "not probed: \(SystemError.text(code))"
    case .other(let text): "probe failed: \(text)"
    }
  }
}
