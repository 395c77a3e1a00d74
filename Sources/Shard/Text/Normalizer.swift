import JSON

/// What is done to a text before it is cut: `normalizer` of tokenizer.json.
enum Normalizer: Sendable, Equatable {
  /// Canonical composition: Qwen.
  case nfc
  case bert(BertNormalizer)

  /// The steps of a tokenizer.json, in order.
  static func steps(_ value: JSONValue?) throws(TokenizerComplaint) -> [Normalizer] {
    guard let value, value != .null else { return [] }
    switch value["type"]?.text {
    case "NFC": return [.nfc]
    case "BertNormalizer":
      return [.bert(try BertNormalizer(value))]
    case "Sequence":
      var steps: [Normalizer] = []
      for step in value["normalizers"]?.elements ?? [] {
        guard step["type"]?.text != "Sequence" else {
          throw TokenizerComplaint("a Sequence within a Sequence of normalizers is not supported")
        }
        steps += try Self.steps(step)
      }
      return steps
    case let type:
      throw TokenizerComplaint(
        "the normalizer \(quoted(type ?? "?")) is not supported; NFC and BertNormalizer are")
    }
  }

  /// The normalised text; nil where nothing changes. `text` is valid UTF-8.
  func apply(_ text: Bytes) -> [UInt8]? {
    switch self {
    case .nfc: Normalization.composed(text)
    case .bert(let bert): bert.apply(text)
    }
  }
}

/// BERT's own: control characters go, whitespace becomes spaces, ideographs become words, accents
/// go, and letters become small.
struct BertNormalizer: Sendable, Equatable {
  var cleansText = true
  var separatesIdeographs = true
  var stripsAccents = true
  var lowercases = true

  init(_ value: JSONValue) throws(TokenizerComplaint) {
    func flag(_ name: String) throws(TokenizerComplaint) -> Bool? {
      switch value[name] {
      case nil, .some(.null): return nil
      case .some(.bool(let flag)): return flag
      case .some:
        throw TokenizerComplaint("'\(name)' of the BertNormalizer must be true, false or null")
      }
    }
    cleansText = try flag("clean_text") ?? true
    separatesIdeographs = try flag("handle_chinese_chars") ?? true
    lowercases = try flag("lowercase") ?? true
    stripsAccents = try flag("strip_accents") ?? lowercases
  }

  func apply(_ text: Bytes) -> [UInt8]? {
    var pass = Pass(normalizer: self)
    pass.result.reserveCapacity(text.count + text.count / 8 + 16)
    var place = 0
    while place < text.count {
      let (scalar, next) = text.scalar(at: place)
      pass.take(scalar)
      place = next
    }
    pass.flush()
    return pass.result
  }

  private struct Pass {
    let normalizer: BertNormalizer
    let classes = BertClass.table
    var buffer = ReorderBuffer()
    var ordered: [UInt32] = []
    var result: [UInt8] = []

    init(normalizer: BertNormalizer) { self.normalizer = normalizer }

    mutating func take(_ scalar: UInt32) {
      var scalar = scalar
      if normalizer.cleansText {
        let mask = classes[scalar]
        if mask & BertClass.removed != 0 { return }
        if mask & BertClass.becomesSpace != 0 { scalar = 0x20 }
      }
      if normalizer.separatesIdeographs, BertClass.isIdeograph(scalar) {
        order(0x20)
        order(scalar)
        order(0x20)
      } else {
        order(scalar)
      }
    }

    /// Decomposes, where accents are to go.
    private mutating func order(_ scalar: UInt32) {
      guard normalizer.stripsAccents else { return write(scalar) }
      if classes[scalar] & BertClass.decomposes == 0 {
        buffer.append(scalar, to: &ordered)
      } else {
        Normalization.decompose(scalar) { buffer.append($0, to: &ordered) }
      }
      writeOrdered()
    }

    private mutating func writeOrdered() {
      for scalar in ordered where classes[scalar] & BertClass.accent == 0 { write(scalar) }
      ordered.removeAll(keepingCapacity: true)
    }

    private mutating func write(_ scalar: UInt32) {
      guard normalizer.lowercases, classes[scalar] & BertClass.hasLowercase != 0,
        let small = BertClass.lowercase(scalar)
      else { return result.append(scalar: scalar) }
      for scalar in small { result.append(scalar: scalar) }
    }

    mutating func flush() {
      buffer.flush(to: &ordered)
      writeOrdered()
    }
  }
}
