// The label values of metrics that are counted by something small and fixed.

/// Which way bytes went.
package enum Direction: UInt8, Sendable, CaseIterable {
  case fromClient
  case toBackend
  case fromBackend
  case toClient

  package var label: StaticString {
    switch self {
    case .fromClient: "from_client"
    case .toBackend: "to_backend"
    case .fromBackend: "from_backend"
    case .toClient: "to_client"
    }
  }
}

/// What an upstream connection is doing.
package enum UpstreamState: UInt8, Sendable, CaseIterable {
  case connecting
  case active
  case idle

  package var label: StaticString {
    switch self {
    case .connecting: "connecting"
    case .active: "active"
    case .idle: "idle"
    }
  }
}

/// The limits whose reaching is counted. Named as the settings are.
package enum LimitName: UInt8, Sendable, CaseIterable {
  case connections
  case descriptors
  case head
  case target
  case fields
  case body
  case inFlight
  case idleConnections
  case retryBody
  case responseHead
  case bufferedBytes
  case streams

  package var label: StaticString {
    switch self {
    case .connections: "connections"
    case .descriptors: "descriptors"
    case .head: "head"
    case .target: "target"
    case .fields: "fields"
    case .body: "body"
    case .inFlight: "in_flight"
    case .idleConnections: "idle_connections"
    case .retryBody: "retry_body"
    case .responseHead: "response_head"
    case .bufferedBytes: "buffered_bytes"
    case .streams: "max_concurrent_streams"
    }
  }
}

/// The hundreds of a status.
package enum CodeClass: UInt8, Sendable, CaseIterable {
  case none
  case informational
  case success
  case redirection
  case clientError
  case serverError

  /// What is outside 100...599 counts as `none`: no status was sent.
  package init(status: UInt16) {
    self = CodeClass(rawValue: UInt8(min(status / 100, 255))) ?? .none
  }

  package var label: StaticString {
    switch self {
    case .none: "none"
    case .informational: "1xx"
    case .success: "2xx"
    case .redirection: "3xx"
    case .clientError: "4xx"
    case .serverError: "5xx"
    }
  }
}
