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
/// since what is decided here must be what the backend reads: names that matter stand once, in
/// their own case, and the whole body is followed as RFC 8259 says, however deep.
///
/// ```
/// brace --> name --> colon --> value --> comma --> name ...
///                                '-----> closing brace of the outermost object --> ended
/// ```
package struct RequestScan: Sendable {
  /// Longest model, escapes decoded. Bytes. Names of Hugging Face end at 96, with a revision and
  /// an adapter about twice that.
  package static let modelBytesLimit = 256
  /// Longest name that is compared. Bytes. The longest that matters has 21, and 25 with the two
  /// letters of more than one byte that Go takes for `k` and `s`.
  static let nameBytesLimit = 32
  /// What a limit on tokens ends at; above, the value stays there.
  static let numberLimit = 1_000_000_000_000

  enum State: UInt8, Sendable {
    case start
    // Between values.
    case firstName
    case name
    case colon
    case firstElement
    case value
    case afterValue
    case ended
    // Strings of which only the length counts.
    case stringStart
    case string
    case escape
    case hex
    // Strings that are kept: names of the outermost object, and the model.
    case kept
    case keptEscape
    case keptHex
    case lowBackslash
    case lowLetter
    // Other values.
    case word
    case minus
    case zero
    case digits
    case point
    case fraction
    case exponent
    case exponentSign
    case exponentDigits
  }

  /// What the string that goes by is.
  enum Text: UInt8, Sendable {
    case plain
    case prompt
    case dataURL
    /// A name below the outermost object.
    case name
    // These two are kept.
    case outermostName
    case model
  }

  /// Names that came so far.
  package internal(set) var seen: RequestNames = []
  /// Names whose value is of another kind than the API says (a text for a number, a negative or
  /// fractional number); null is no value. Engines may read them leniently: where a limit depends
  /// on one, refuse.
  package internal(set) var oddKinds: RequestNames = []
  package internal(set) var stream: Bool?
  /// The largest of `max_tokens`, `max_completion_tokens` and `max_output_tokens`. Tokens.
  package internal(set) var outputLimit: Int?
  /// The larger of `n` and `best_of`. Count.
  package internal(set) var choices: Int?
  /// Bytes of the strings within `RequestNames.prompts`, escapes as they stand, names not counted,
  /// so far.
  package internal(set) var promptBytes = 0
  /// Bytes of strings there that begin with `data:` (images, audio), not part of `promptBytes`.
  package internal(set) var dataURLBytes = 0
  /// Numbers there: ids of tokens that the client made itself. Count.
  package internal(set) var promptNumbers = 0
  /// Bytes scanned so far.
  package internal(set) var offset = 0

  private let awaiting: RequestNames
  private let searchBytes: Int
  let depthLimit: UInt8
  var refusal: ScanRefusal?
  var state = State.start
  var text = Text.plain

  /// The name whose value goes by in the outermost object; empty for one that does not matter.
  var current: RequestNames = []
  /// Names whose value has ended.
  var complete: RequestNames = []
  /// The value is one of `RequestNames.prompts`.
  var isPrompt = false

  var depth: UInt8 = 0
  /// What stands at each depth: a bit is set for an object, lowest for the outermost.
  var objects: UInt128 = 0
  var isObject = false

  /// Letters of `true`, `false` or `null` that must follow, the next one lowest; of a data URL the
  /// ones that have come.
  var letters: UInt32 = 0
  var word = RequestScan.Word.null
  /// The number so far, when it is one of `RequestNames.numbers`.
  var number = 0
  var isPlainNumber = true

  // The kept string.
  var nameBytes = InlineArray<32, UInt8>(repeating: 0)
  var nameCount: UInt8 = 0
  var modelBytes = InlineArray<256, UInt8>(repeating: 0)
  var modelCount: UInt16 = 0
  var hasModel = false
  var encoding = UTF8Check()
  /// Digits of a `\u` that must follow, what they say so far, and the first half of a pair.
  var hexLeft: UInt8 = 0
  var unit: UInt16 = 0
  var highUnit: UInt16 = 0

  enum Word: UInt8, Sendable {
    case `true`
    case `false`
    case null
  }

  package init(awaiting: RequestNames = .model, limits: ScanLimits = ScanLimits()) {
    self.awaiting = awaiting
    searchBytes = limits.searchBytes
    depthLimit = UInt8(min(max(limits.depth, 1), 128))
  }

  /// Takes the next piece of the body.
  package mutating func scan(_ bytes: UnsafeRawBufferPointer) -> ScanProgress {
    if refusal == nil, let base = bytes.baseAddress {
      walk(base, to: bytes.count)
      offset += bytes.count
    }
    return progress
  }

  /// The body has ended: `ended` or `refused`.
  package mutating func finish() -> ScanProgress {
    if refusal == nil, state != .ended {
      refuse(state == .start ? .notAnObject : .truncated, at: 0)
    }
    return progress
  }

  private var progress: ScanProgress {
    if let refusal { return .refused(refusal) }
    if state == .ended { return .ended }
    if complete.isSuperset(of: awaiting) { return .found }
    return offset > searchBytes ? .limitReached : .needMore
  }

  /// The model, escapes decoded, UTF-8; nil when none came whole.
  package func withModel<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R? {
    guard hasModel else { return nil }
    return withUnsafeBytes(of: modelBytes) {
      body(UnsafeRawBufferPointer(rebasing: $0[..<Int(modelCount)]))
    }
  }

  /// The same for who may allocate.
  package var model: String? { withModel { String(decoding: $0, as: UTF8.self) } }

  /// Ends the scan at a place of the current piece.
  mutating func refuse(_ reason: ScanRefusal.Reason, _ name: RequestNames = [], at position: Int) {
    refusal = ScanRefusal(reason: reason, offset: offset + position, name: name)
  }
}
