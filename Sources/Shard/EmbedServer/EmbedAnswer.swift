import JSON

/// The answer of one request, in OpenAI's shape.
enum EmbedAnswer {
  /// `vectors` holds `size` floats a text. Pure, so that a long answer is written away from the loop.
  static func json(_ request: EmbedRequest, _ vectors: [Float], _ model: EmbedModel) -> [UInt8] {
    var out: [UInt8] = []
    let perFloat = request.format == .base64 ? 6 : 13
    out.reserveCapacity(256 + request.count * (64 + request.dimensions * perFloat))
    out += #"{"object":"list","data":["#.utf8
    for index in 0..<request.count {
      let vector = vector(index, request, vectors, model)
      if index > 0 { out.append(UInt8(ascii: ",")) }
      out += #"{"object":"embedding","index":\#(index),"embedding":"#.utf8
      switch request.format {
      case .float: append(floats: vector, to: &out)
      case .base64: append(base64: vector, to: &out)
      }
      out.append(UInt8(ascii: "}"))
    }
    out += #"],"model":\#(JSONText.quoted(model.name)),"usage":{"prompt_tokens":"#.utf8
    out += "\(request.tokens.count),\"total_tokens\":\(request.tokens.count)}}".utf8
    return out
  }

  /// The name of the vectors in KServe's protocol.
  static let output = "embedding"

  /// One vector, as short as it is wanted.
  static func vector(
    _ index: Int, _ request: EmbedRequest, _ vectors: [Float], _ model: EmbedModel
  ) -> [Float] {
    let first = index * model.size
    var vector = Array(vectors[first..<first + request.dimensions])
    if model.isNormalised, request.dimensions < model.size { normalise(&vector) }
    return vector
  }

  /// To length 1 again: what OpenAI does with fewer dimensions.
  private static func normalise(_ vector: inout [Float]) {
    let sum = vector.reduce(0.0) { $0 + Double($1) * Double($1) }
    let scale = Float(1 / max(sum.squareRoot(), 1e-12))
    for place in vector.indices { vector[place] *= scale }
  }

  /// The shortest digits that read back as the same float. They are finite: the server has looked.
  private static func append(floats vector: [Float], to out: inout [UInt8]) {
    out.append(UInt8(ascii: "["))
    for (index, value) in vector.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      out += value.description.utf8
    }
    out.append(UInt8(ascii: "]"))
  }

  private static let digits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  private static func append(base64 vector: [Float], to out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    // Bits that wait for a digit, and how many.
    var bits: UInt64 = 0
    var count: UInt64 = 0
    for value in vector {
      // The first byte in memory is the first that is written.
      bits = bits << 32 | UInt64(value.bitPattern.littleEndian.byteSwapped)
      count += 32
      while count >= 6 {
        count -= 6
        out.append(digits[Int(bits >> count & 63)])
      }
    }
    if count > 0 { out.append(digits[Int(bits << (6 - count) & 63)]) }
    // 4 bytes a float: without a rest, or with one of 1 or 2 bytes.
    for _ in 0..<(3 - vector.count * 4 % 3) % 3 { out.append(UInt8(ascii: "=")) }
    out.append(UInt8(ascii: "\""))
  }
}
