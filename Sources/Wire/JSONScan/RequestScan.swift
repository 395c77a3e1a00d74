/// What is known after a piece of a body.
package enum ScanProgress: Equatable, Sendable {
  /// Something that is awaited has not come.
  case needMore
  /// All that is awaited has come, the object has not ended. The body may leave now, and is scanned
  /// on: a second `model` would be refused even then, and the attempt upstream must be aborted.
  case found
  /// The object has ended: what has not come is not there.
  case ended
  /// As `needMore`, but `ScanLimits.searchBytes` have gone by. Scanning on is allowed.
  case limitReached
  /// The body must not be forwarded. Stays so.
  case refused(ScanRefusal)
}

/// Bounds of a scan.
package struct ScanLimits: Sendable, Equatable {
  /// Bytes to look at for what is awaited: who waits for the model holds these in memory. Default
  /// 1 MiB: clients of OpenAI's libraries put `messages` first, and a prompt of 128 Ki tokens has
  /// about 512 KiB.
  package var searchBytes: Int
  /// Arrays and objects within each other. Count, at most 128. Default 100, as
  /// `JSONValue.depthLimit`: schemas of tools reach about 20.
  package var depth: Int

  package init(searchBytes: Int = 1024 * 1024, depth: Int = 100) {
    self.searchBytes = searchBytes
    self.depth = depth
  }
}

/// Reads the few members of a JSON body that routing and limits need, while it goes by in pieces.
///
/// Allocates nothing and keeps nothing of the body but the model. Strict where parsers disagree,
/// since what is decided here must be what the backend reads.
package struct RequestScan: Sendable {
  /// Longest model, escapes decoded. Bytes. Names of Hugging Face end at 96, with a revision and
  /// an adapter about twice that.
  package static let modelBytesLimit = 256

  /// Names that came so far.
  package private(set) var seen: RequestNames = []
  /// Names whose value is of another kind than the API says (a text for a number, a negative or
  /// fractional number); null is no value. Engines may read them leniently: where a limit depends
  /// on one, refuse.
  package private(set) var oddKinds: RequestNames = []
  package private(set) var stream: Bool?
  /// The largest of `max_tokens`, `max_completion_tokens` and `max_output_tokens`. Tokens.
  package private(set) var outputLimit: Int?
  /// The larger of `n` and `best_of`. Count.
  package private(set) var choices: Int?
  /// Bytes of the strings within `RequestNames.prompts`, escapes as they stand, names not counted,
  /// so far.
  package private(set) var promptBytes = 0
  /// Bytes of strings there that begin with `data:` (images, audio), not part of `promptBytes`.
  package private(set) var dataURLBytes = 0
  /// Numbers there: ids of tokens that the client made itself. Count.
  package private(set) var promptNumbers = 0
  /// Bytes scanned so far.
  package private(set) var offset = 0

  package init(awaiting: RequestNames = .model, limits: ScanLimits = ScanLimits()) {}

  /// Takes the next piece of the body.
  package mutating func scan(_ bytes: UnsafeRawBufferPointer) -> ScanProgress { .needMore }

  /// The body has ended: `ended` or `refused`.
  package mutating func finish() -> ScanProgress { .ended }

  /// The model, escapes decoded, UTF-8; nil when none came.
  package func withModel<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R? { nil }

  package var model: String? { withModel { String(decoding: $0, as: UTF8.self) } }
}
