import JSON

/// A request for embeddings, read and checked.
struct EmbeddingRequest: Sendable {
  var model: String
  var texts: [[Int32]]
  /// Elements that the client wants of each vector.
  var dimensions: Int
  var isBase64: Bool

  /// The first elements, scaled to length 1 again where some were cut off.
  func cut(_ vector: [Float]) -> [Float] {
    guard dimensions < vector.count else { return vector }
    let kept = vector.prefix(dimensions)
    let length = max(kept.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
    return kept.map { $0 / length }
  }
}

/// From a body to what is to be embedded.
struct EmbeddingReading {
  let card: ModelCard
  let encoder: any TextEncoder
  let settings: WorkerSettings

  /// Texts of one request. Count; OpenAI takes 2,048.
  private static let textLimit = 2_048

  func read(_ body: UnsafeRawBufferPointer) throws(APIError) -> EmbeddingRequest {
    let json: JSONValue
    do throws(JSONComplaint) {
      json = try JSONValue(body, .tolerant)
    } catch {
      throw APIError(
        .invalid, "The body is no JSON at byte \(error.offset): \(error.problem).",
        code: "invalid_json")
    }
    let fields = try Fields(json)
    let model = try fields.text("model") ?? card.name
    guard card.isNamed(model) else {
      throw APIError(
        .unknownModel,
        "The model '\(model.prefix(200))' does not exist here; this worker serves '\(card.name)'.",
        param: "model", code: "model_not_found")
    }
    let format = try fields.text("encoding_format") ?? "float"
    guard format == "float" || format == "base64" else {
      throw .invalid(
        "encoding_format",
        "'encoding_format' must be 'float' or 'base64', not '\(format.prefix(50))'.")
    }
    let dimensions = try fields.integer("dimensions", 1...encoder.width) ?? encoder.width
    return EmbeddingRequest(
      model: model, texts: try texts(fields["input"]), dimensions: dimensions,
      isBase64: format == "base64")
  }

  /// A text, a list of texts, a list of tokens, or a list of lists of tokens.
  private func texts(_ input: JSONValue?) throws(APIError) -> [[Int32]] {
    switch input {
    case nil: throw .invalid("input", "'input' is missing.")
    case .string(let text): return [tokens(of: text)]
    case .array(let elements) where !elements.isEmpty:
      if case .number = elements[0] { return [try checked(elements, "input")] }
      guard elements.count <= Self.textLimit else {
        throw .invalid(
          "input",
          "'input' has \(elements.count) texts; one request may have \(Self.textLimit).")
      }
      var texts: [[Int32]] = []
      for (index, element) in elements.enumerated() {
        let name = "input[\(index)]"
        switch element {
        case .string(let text): texts.append(tokens(of: text))
        case .array(let tokens) where !tokens.isEmpty: texts.append(try checked(tokens, name))
        case .array, .null, .bool, .number, .object:
          throw .invalid(
            name, "'\(name)' must be a text or a list of token ids, not \(element.kind).")
        }
      }
      return texts
    case .some(let other):
      throw .invalid(
        "input",
        "'input' must be a text, a list of texts, or a list of token ids, not "
          + (other == .array([]) ? "an empty list." : "\(other.kind)."))
    }
  }

  /// Too long a text is cut, as sentence-transformers does it: its end token stays.
  private func tokens(of text: String) -> [Int32] {
    let tokens = encoder.encode(text)
    guard tokens.count > encoder.textLimit, let last = tokens.last else { return tokens }
    return tokens.prefix(encoder.textLimit - 1) + [last]
  }

  private func checked(_ elements: [JSONValue], _ name: String) throws(APIError) -> [Int32] {
    guard elements.count <= encoder.textLimit else {
      throw APIError(
        .contextLength,
        "'\(name)' has \(elements.count) tokens; this model takes \(encoder.textLimit).",
        param: name, code: "context_length_exceeded")
    }
    var tokens: [Int32] = []
    for element in elements {
      guard let token = element.integer, (0..<encoder.vocabularySize).contains(token) else {
        throw .invalid(
          name,
          "'\(name)' holds \(element.shown), which is no token id from 0 to "
            + "\(encoder.vocabularySize - 1).")
      }
      tokens.append(Int32(token))
    }
    return tokens
  }
}

enum Base64 {
  private static let digits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func text(_ bytes: [UInt8]) -> String {
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let count = min(3, bytes.count - start)
      var group: UInt32 = 0
      for index in 0..<3 {
        group = group << 8 | (index < count ? UInt32(bytes[start + index]) : 0)
      }
      for index in 0..<4 {
        out.append(
          index <= count ? digits[Int(group >> UInt32(18 - 6 * index) & 63)] : UInt8(ascii: "="))
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
