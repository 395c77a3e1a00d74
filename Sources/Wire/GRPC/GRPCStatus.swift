/// How a call ended, by the codes of gRPC (`doc/statuscodes.md` of github.com/grpc/grpc).
package struct GRPCStatus: Error, Equatable, Sendable {
  package enum Code: Int, CaseIterable, Sendable {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16
  }

  package var code: Code
  /// For a human; empty for `ok`.
  package var message: String

  package init(_ code: Code, _ message: String = "") {
    self.code = code
    self.message = message
  }

  package static let ok = GRPCStatus(.ok)
}

extension GRPCStatus.Code {
  /// As `grpc-status` says it; what is no code is `unknown`, as the specification wants.
  package init(field text: some StringProtocol) {
    let isPlain = text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    self = isPlain ? Int(text).flatMap(Self.init(rawValue:)) ?? .unknown : .unknown
  }

  /// The name in every document and client: `INVALID_ARGUMENT`.
  package var name: StaticString {
    switch self {
    case .ok: "OK"
    case .cancelled: "CANCELLED"
    case .unknown: "UNKNOWN"
    case .invalidArgument: "INVALID_ARGUMENT"
    case .deadlineExceeded: "DEADLINE_EXCEEDED"
    case .notFound: "NOT_FOUND"
    case .alreadyExists: "ALREADY_EXISTS"
    case .permissionDenied: "PERMISSION_DENIED"
    case .resourceExhausted: "RESOURCE_EXHAUSTED"
    case .failedPrecondition: "FAILED_PRECONDITION"
    case .aborted: "ABORTED"
    case .outOfRange: "OUT_OF_RANGE"
    case .unimplemented: "UNIMPLEMENTED"
    case .internal: "INTERNAL"
    case .unavailable: "UNAVAILABLE"
    case .dataLoss: "DATA_LOSS"
    case .unauthenticated: "UNAUTHENTICATED"
    }
  }

  // MARK: HTTP

  /// What a client makes of an answer that has an HTTP status but no `grpc-status`: the table of
  /// `doc/http-grpc-status-mapping.md`. For answers of others; what we refuse ourselves is `refusal`.
  package init(httpStatus: Int) {
    switch httpStatus {
    case 400: self = .internal
    case 401: self = .unauthenticated
    case 403: self = .permissionDenied
    case 404: self = .unimplemented
    case 429, 502, 503, 504: self = .unavailable
    default: self = .unknown
    }
  }

  /// What a refusal of our own is on a gRPC call, where the reason is known: 504 is a deadline of
  /// ours, 413 and 429 are limits. The rest is as a client would guess it from the status, but for
  /// 400, which is the caller's fault, and 500, which is ours.
  package init(refusalWith httpStatus: Int) {
    switch httpStatus {
    case 400, 422: self = .invalidArgument
    case 408, 504: self = .deadlineExceeded
    case 413, 429, 431: self = .resourceExhausted
    case 405, 415, 501, 505: self = .unimplemented
    case 499: self = .cancelled
    case 500: self = .internal
    default: self = Self(httpStatus: httpStatus)
    }
  }

  /// The status of an answer over plain HTTP that means the same: the table of `google/rpc/code.proto`.
  package var httpStatus: Int {
    switch self {
    case .ok: 200
    case .cancelled: 499
    case .invalidArgument, .failedPrecondition, .outOfRange: 400
    case .deadlineExceeded: 504
    case .notFound: 404
    case .alreadyExists, .aborted: 409
    case .permissionDenied: 403
    case .resourceExhausted: 429
    case .unimplemented: 501
    case .unknown, .internal, .dataLoss: 500
    case .unavailable: 503
    case .unauthenticated: 401
    }
  }

  /// What a call is that its peer has reset with this error of HTTP/2 (`doc/PROTOCOL-HTTP2.md`).
  package init(http2Error: UInt32) {
    switch http2Error {
    // NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT,
    // FRAME_SIZE_ERROR, COMPRESSION_ERROR, CONNECT_ERROR.
    case 0, 1, 2, 3, 4, 6, 9, 10: self = .internal
    case 7: self = .unavailable  // REFUSED_STREAM: nothing was done, so it may be tried again.
    case 8: self = .cancelled  // CANCEL.
    case 11: self = .resourceExhausted  // ENHANCE_YOUR_CALM.
    case 12: self = .permissionDenied  // INADEQUATE_SECURITY.
    default: self = .unknown
    }
  }
}
