/// Which bytes of a text can be trusted: runs of either kind take turns.
///
/// Most texts are of one kind and then this is no memory of its own.
struct Marks: Sendable, Equatable {
  /// The kind of the first run.
  private(set) var startsTrusted: Bool
  /// Where the kind changes, ascending, each strictly within the text. Bytes.
  private(set) var flips: [Int] = []

  init(trusted: Bool) { startsTrusted = trusted }

  var isUniform: Bool { flips.isEmpty }

  func isTrusted(at byte: Int) -> Bool { startsTrusted == (flipsUpTo(byte) % 2 == 0) }

  /// How many changes lie at or before this byte.
  private func flipsUpTo(_ byte: Int) -> Int {
    var low = 0
    var high = flips.count
    while low < high {
      let middle = (low + high) / 2
      if flips[middle] <= byte { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The kind of the last run.
  var endsTrusted: Bool { startsTrusted == (flips.count % 2 == 0) }

  /// The marks of a part. Empty parts keep the kind of the place where they were cut.
  func part(_ range: Range<Int>) -> Marks {
    if flips.isEmpty { return self }
    let first = flipsUpTo(range.lowerBound)
    var part = Marks(trusted: startsTrusted == (first % 2 == 0))
    for flip in flips[first...] {
      if flip >= range.upperBound { break }
      part.flips.append(flip - range.lowerBound)
    }
    return part
  }

  /// Appends the marks of a text of some bytes behind one of `length` bytes.
  mutating func append(_ other: Marks, at length: Int) {
    if length == 0 {
      self = other
      return
    }
    if other.startsTrusted != endsTrusted { flips.append(length) }
    for flip in other.flips { flips.append(length + flip) }
  }
}

/// A text that remembers which of its bytes are the template's own and which came from the client,
/// through everything a template does to it. The idea is llama.cpp's (its PR 18462).
///
/// UTF-8, always valid. Indices of Python are code points: see `MarkedText+Slicing`.
struct MarkedText: Sendable {
  private(set) var bytes: [UInt8]
  private(set) var marks: Marks
  /// Made by `safe` or `escape`: as `markupsafe.Markup` it escapes what is added to it. Odd for
  /// prompts, but published templates do it, and models were trained on what came out.
  var isMarkup = false

  init(_ bytes: [UInt8], trusted: Bool) {
    self.bytes = bytes
    self.marks = Marks(trusted: trusted)
  }

  /// A text of our own.
  init(_ text: String) { self.init(Array(text.utf8), trusted: true) }

  init() { self.init([], trusted: true) }

  private init(_ bytes: [UInt8], _ marks: Marks) {
    self.bytes = bytes
    self.marks = marks
  }

  var count: Int { bytes.count }
  var isEmpty: Bool { bytes.isEmpty }

  /// For messages to people, and for names.
  var string: String { String(decoding: bytes, as: UTF8.self) }

  // MARK: Parts

  /// A part, cut between characters. Stays markup if this is.
  func part(_ range: Range<Int>) -> MarkedText {
    if range.lowerBound == 0, range.upperBound == bytes.count { return self }
    var part = MarkedText(Array(bytes[range]), marks.part(range))
    part.isMarkup = isMarkup
    return part
  }

  /// The same bytes and marks, as `str` of Python.
  var plain: MarkedText { MarkedText(bytes, marks) }

  /// The same text of another case, byte for byte where ASCII allows it.
  func mapped(_ transform: (UInt8) -> UInt8) -> MarkedText {
    var mapped = MarkedText(bytes.map(transform), marks)
    mapped.isMarkup = isMarkup
    return mapped
  }

  // MARK: Growing

  mutating func append(_ other: MarkedText) {
    if other.isEmpty { return }
    marks.append(other.marks, at: bytes.count)
    bytes += other.bytes
  }

  mutating func append(_ other: MarkedText, _ range: Range<Int>) {
    if range.isEmpty { return }
    if other.marks.isUniform {
      marks.append(other.marks, at: bytes.count)
    } else {
      marks.append(other.marks.part(range), at: bytes.count)
    }
    bytes += other.bytes[range]
  }

  mutating func append(_ more: some Collection<UInt8>, trusted: Bool) {
    if more.isEmpty { return }
    marks.append(Marks(trusted: trusted), at: bytes.count)
    bytes += more
  }

  mutating func append(_ byte: UInt8, trusted: Bool) {
    marks.append(Marks(trusted: trusted), at: bytes.count)
    bytes.append(byte)
  }

  mutating func append(_ text: StaticString) {
    append(
      UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount), trusted: true)
  }

  mutating func reserve(_ capacity: Int) { bytes.reserveCapacity(capacity) }

  // MARK: Runs

  /// The text cut where the marks change, in order.
  var pieces: [ChatTemplate.Piece] {
    if isEmpty { return [] }
    var pieces: [ChatTemplate.Piece] = []
    pieces.reserveCapacity(marks.flips.count + 1)
    var start = 0
    var isTrusted = marks.startsTrusted
    for end in marks.flips + [bytes.count] {
      let text = String(decoding: bytes[start..<end], as: UTF8.self)
      pieces.append(ChatTemplate.Piece(text: text, isTrusted: isTrusted))
      start = end
      isTrusted.toggle()
    }
    return pieces
  }
}
