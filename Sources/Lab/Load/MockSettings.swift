import Primitives

/// How one mock engine behaves. Every field is also a flag, a query parameter and an `X-Mock` key;
/// `MockParameters` names them.
package struct MockSettings: Sendable, Equatable {
  package enum HeadTime: String, Sendable, CaseIterable {
    /// With the first token, as SGLang and OpenAI do: time to first byte is time to first token.
    case late
    /// As soon as the request has a slot, as vLLM does.
    case early
  }

  package var address = SocketAddress.ipv4(0x7f00_0001, port: 9001)
  /// Shown in `X-Mock-Name` and in the answer. Default: `mock-` and the port.
  package var name = ""
  /// Served models. The first stands in answers to requests that name none.
  package var models = ["mock"]
  /// Requests that run at once; others wait in order. Count; 0 means no limit.
  package var slots = 0
  /// Time to first token of a request that runs alone.
  package var firstToken = TimeAmount.milliseconds(100)
  /// Time between tokens of a request that runs alone: 50 tokens per second, a 70B model's pace.
  package var gap = TimeAmount.milliseconds(20)
  /// Tokens of an answer; a request's `max_tokens` lowers it. Count.
  package var tokens = 32
  /// Time to first token grows by this share of itself for each other running request.
  package var slowdown = 0.0
  /// The gap grows by this share of itself for each other running request.
  package var gapSlowdown = 0.0
  /// Both times vary at random by up to this share, up and down.
  package var jitter = 0.0
  package var head = HeadTime.late
  /// Done to every request.
  package var fault: MockFault?
  /// Seconds in `Retry-After` of a refusal; nil leaves the field out.
  package var retryAfterSeconds: Int?
  /// Done to a share of the requests that ask for no fault themselves.
  package var chances: [FaultChance] = []
  /// Status of `/health`.
  package var health = 200

  package init() {}

  package struct FaultChance: Sendable, Equatable {
    package var fault: MockFault
    /// 0...1.
    package var probability: Double
  }
}

/// What an engine can do wrong.
package enum MockFault: Sendable, Equatable {
  /// An error answer at once, without a slot.
  case status(Int)
  /// A TCP reset after so many tokens; nil: before the head.
  case reset(afterTokens: Int?)
  /// Nothing more is sent until the client leaves; nil: not even the head.
  case stall(afterTokens: Int?)
  /// An orderly close where more was promised: a chunked answer without its last chunk, or half a
  /// body.
  case truncate(afterTokens: Int)
  /// The whole answer, head and all, one byte per interval.
  case drip(TimeAmount)
  /// Bytes that are no HTTP.
  case garbage
}

/// What is wrong with a parameter, to be shown to the person who typed it.
package struct MockComplaint: Error, Equatable, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
