import JSON

/// A tokenizer.json with its two large parts read apart: a vocabulary of 128,000 tokens and as many
/// merges would be half a million values of `JSONValue`, and its objects compare names as strings,
/// where canonically equivalent tokens are one.
struct TokenizerFile {
  /// Of the whole file. Bytes. The largest known have 33 MB.
  static let sizeLimit = 256 << 20

  /// The file with `null` in place of the vocabulary and the merges.
  let rest: JSONValue
  /// In the order of the file.
  let vocabulary: TextList
  /// Of `vocabulary`.
  let ids: [Int32]
  /// Left and right of each merge, one after the other.
  let merges: TextList
  let hasMerges: Bool

  /// Many texts in one buffer.
  struct TextList {
    private(set) var bytes: [UInt8] = []
    private var ends: [Int32] = []

    var count: Int { ends.count }

    func range(_ index: Int) -> Range<Int> {
      (index == 0 ? 0 : Int(ends[index - 1]))..<Int(ends[index])
    }

    mutating func reserve(texts: Int, bytes count: Int) {
      ends.reserveCapacity(texts)
      bytes.reserveCapacity(count)
    }

    mutating func append(_ text: some Sequence<UInt8>) {
      bytes += text
      ends.append(Int32(bytes.count))
    }
  }

  init(_ bytes: UnsafeRawBufferPointer) throws(TokenizerComplaint) {
    guard bytes.count <= Self.sizeLimit else {
      throw TokenizerComplaint(
        "the file has \(bytes.count) bytes; at most \(Self.sizeLimit) are read")
    }
    var reader = Reader(bytes: bytes.bindMemory(to: UInt8.self))
    try reader.file()
    do throws(JSONComplaint) {
      rest = try JSONValue(reader.rest, .tolerant)
    } catch {
      throw TokenizerComplaint("the file is not JSON: \(error.problem)")
    }
    vocabulary = reader.vocabulary
    ids = reader.ids
    merges = reader.merges
    hasMerges = reader.hasMerges
  }

  /// Walks the file once. What it does not take it copies, and `JSONValue` checks it.
  private struct Reader {
    let bytes: Bytes
    var place = 0
    var rest: [UInt8] = []
    var vocabulary = TextList()
    var ids: [Int32] = []
    var merges = TextList()
    var hasVocabulary = false
    var hasMerges = false
    private var text: [UInt8] = []

    init(bytes: Bytes) { self.bytes = bytes }

    mutating func file() throws(TokenizerComplaint) {
      try members { reader, name throws(TokenizerComplaint) in
        if name.elementsEqual("model".utf8), reader.peek() == UInt8(ascii: "{") {
          try reader.members { reader, name throws(TokenizerComplaint) in
            if name.elementsEqual("vocab".utf8), reader.peek() == UInt8(ascii: "{") {
              try reader.readVocabulary()
              reader.rest += "null".utf8
            } else if name.elementsEqual("merges".utf8), reader.peek() == UInt8(ascii: "[") {
              try reader.readMerges()
              reader.rest += "null".utf8
            } else {
              try reader.copyValue()
            }
          }
        } else {
          try reader.copyValue()
        }
      }
      skipSpace()
      guard place == bytes.count else { throw complaint("text after the value") }
    }

    /// The members of an object, copied but for their values, which are the body's to take.
    private mutating func members(
      _ body: (inout Reader, [UInt8]) throws(TokenizerComplaint) -> Void
    ) throws(TokenizerComplaint) {
      try expect(UInt8(ascii: "{"))
      rest.append(UInt8(ascii: "{"))
      guard peek() != UInt8(ascii: "}") else {
        place += 1
        rest.append(UInt8(ascii: "}"))
        return
      }
      while true {
        _ = peek()
        let start = place
        try string()
        let name = text
        rest += bytes[start..<place]
        try expect(UInt8(ascii: ":"))
        rest.append(UInt8(ascii: ":"))
        try body(&self, name)
        let byte = peek()
        place += 1
        guard let byte, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") else {
          throw complaint("expected ',' or '}'")
        }
        rest.append(byte)
        if byte == UInt8(ascii: "}") { return }
      }
    }

    private mutating func readVocabulary() throws(TokenizerComplaint) {
      guard !hasVocabulary else { throw complaint("the vocabulary stands twice") }
      hasVocabulary = true
      let guess = (bytes.count - place) / 20
      vocabulary.reserve(texts: guess / 2, bytes: guess * 4)
      ids.reserveCapacity(guess / 2)
      try expect(UInt8(ascii: "{"))
      if take(UInt8(ascii: "}")) { return }
      repeat {
        try string()
        vocabulary.append(text)
        try expect(UInt8(ascii: ":"))
        ids.append(try id())
      } while take(UInt8(ascii: ","))
      try expect(UInt8(ascii: "}"))
    }

    private mutating func readMerges() throws(TokenizerComplaint) {
      guard !hasMerges else { throw complaint("the merges stand twice") }
      hasMerges = true
      let guess = (bytes.count - place) / 20
      merges.reserve(texts: guess * 2, bytes: guess * 12)
      try expect(UInt8(ascii: "["))
      if take(UInt8(ascii: "]")) { return }
      repeat {
        if take(UInt8(ascii: "[")) {
          try string()
          merges.append(text)
          try expect(UInt8(ascii: ","))
          try string()
          merges.append(text)
          try expect(UInt8(ascii: "]"))
        } else {
          try string()
          guard let (left, right) = MergeText.halves(text) else {
            throw TokenizerComplaint(
              "merge \(merges.count / 2 + 1) is \(quoted(text)); it must be two tokens with one "
                + "space between them")
          }
          merges.append(left)
          merges.append(right)
        }
      } while take(UInt8(ascii: ","))
      try expect(UInt8(ascii: "]"))
    }

    private mutating func id() throws(TokenizerComplaint) -> Int32 {
      let token = text
      _ = peek()
      let start = place
      var value = 0
      while place < bytes.count, (0x30...0x39).contains(bytes[place]), value < Vocabulary.idLimit {
        value = value * 10 + Int(bytes[place] - 0x30)
        place += 1
      }
      // A fraction, an exponent, a sign, or nothing at all ends up here too.
      guard place > start, value < Vocabulary.idLimit, place < bytes.count,
        ![UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E")].contains(bytes[place])
      else {
        throw TokenizerComplaint(
          "the id of the token \(quoted(token)) must be a whole number below "
            + "\(Vocabulary.idLimit)")
      }
      return Int32(value)
    }

    /// One value, whatever it is, to the rest.
    private mutating func copyValue() throws(TokenizerComplaint) {
      _ = peek()
      let start = place
      var depth = 0
      repeat {
        guard let byte = peek() else { throw complaint("the text ends within a value") }
        switch byte {
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "{"), UInt8(ascii: "["):
          depth += 1
          place += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
          guard depth > 0 else { throw complaint("expected a value") }
          depth -= 1
          place += 1
        case UInt8(ascii: ","), UInt8(ascii: ":"):
          guard depth > 0 else { throw complaint("expected a value") }
          place += 1
        default:
          while place < bytes.count, !Self.endsWord.contains(bytes[place]) { place += 1 }
        }
      } while depth > 0
      rest += bytes[start..<place]
    }

    private static let endsWord = Array(" \t\r\n,:]}\"[{".utf8)

    /// A string, into `text`.
    private mutating func string() throws(TokenizerComplaint) {
      guard peek() == UInt8(ascii: "\"") else { throw complaint("expected a string") }
      place += 1
      text.removeAll(keepingCapacity: true)
      var isPlain = true
      while true {
        let start = place
        while place < bytes.count, bytes[place] != UInt8(ascii: "\""),
          bytes[place] != UInt8(ascii: "\\"), bytes[place] >= 0x20
        {
          if bytes[place] >= 0x80 { isPlain = false }
          place += 1
        }
        text += bytes[start..<place]
        guard place < bytes.count else { throw complaint("the text ends within a string") }
        place += 1
        switch bytes[place - 1] {
        case UInt8(ascii: "\""):
          if !isPlain, text.withBytes(firstBroken) != nil {
            throw complaint("the string is not UTF-8")
          }
          return
        case UInt8(ascii: "\\"): try escape()
        default: throw complaint("a control character within a string")
        }
      }
    }

    private mutating func escape() throws(TokenizerComplaint) {
      guard place < bytes.count else { throw complaint("the text ends within a string") }
      let letter = bytes[place]
      place += 1
      switch letter {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
      case UInt8(ascii: "b"): text.append(0x08)
      case UInt8(ascii: "f"): text.append(0x0c)
      case UInt8(ascii: "n"): text.append(0x0a)
      case UInt8(ascii: "r"): text.append(0x0d)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "u"):
        var scalar = try fourDigits()
        if (0xd800..<0xdc00).contains(scalar), place + 1 < bytes.count,
          bytes[place] == UInt8(ascii: "\\"), bytes[place + 1] == UInt8(ascii: "u")
        {
          place += 2
          let second = try fourDigits()
          guard (0xdc00..<0xe000).contains(second) else {
            throw complaint("half of a surrogate pair")
          }
          scalar = 0x10000 + (scalar - 0xd800) << 10 + (second - 0xdc00)
        }
        guard Unicode.Scalar(scalar) != nil else { throw complaint("half of a surrogate pair") }
        text.append(scalar: scalar)
      default: throw complaint("unknown escape")
      }
    }

    private mutating func fourDigits() throws(TokenizerComplaint) -> UInt32 {
      var value: UInt32 = 0
      for _ in 0..<4 {
        let digit: UInt8
        switch place < bytes.count ? bytes[place] : 0 {
        case let byte where (0x30...0x39).contains(byte): digit = byte - 0x30
        case let byte where (0x61...0x66).contains(byte | 0x20): digit = (byte | 0x20) - 0x57
        default: throw complaint("expected four hexadecimal digits")
        }
        value = value << 4 | UInt32(digit)
        place += 1
      }
      return value
    }

    /// The next byte that is no space, without taking it.
    private mutating func peek() -> UInt8? {
      skipSpace()
      return place < bytes.count ? bytes[place] : nil
    }

    private mutating func take(_ byte: UInt8) -> Bool {
      guard peek() == byte else { return false }
      place += 1
      return true
    }

    private mutating func expect(_ byte: UInt8) throws(TokenizerComplaint) {
      guard take(byte) else {
        throw complaint("expected '\(Character(Unicode.Scalar(byte)))'")
      }
    }

    private mutating func skipSpace() {
      while place < bytes.count, bytes[place] <= 0x20,
        [0x20, 0x0a, 0x0d, 0x09].contains(bytes[place])
      { place += 1 }
    }

    private func complaint(_ problem: String) -> TokenizerComplaint {
      TokenizerComplaint("the file is not JSON at byte \(place): \(problem)")
    }
  }
}

/// A merge as one text: two tokens and a space.
enum MergeText {
  /// nil unless there is exactly one space, with something at both sides.
  static func halves(_ text: [UInt8]) -> (ArraySlice<UInt8>, ArraySlice<UInt8>)? {
    guard let space = text.firstIndex(of: 0x20), space > 0, space + 1 < text.count,
      !text[(space + 1)...].contains(0x20)
    else { return nil }
    return (text[..<space], text[(space + 1)...])
  }
}
