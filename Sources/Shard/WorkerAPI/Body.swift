import JSON

/// The JSON of a request's body.
package enum Body {
  /// Reads it, or says why it is none.
  ///
  /// - Parameter valueLimit: values within it. Count; a value takes up to 200 bytes of memory once it is
  ///   read, so a bomb is refused before it costs any.
  package static func read(
    _ body: UnsafeRawBufferPointer, valueLimit: Int
  ) throws(APIError) -> Fields {
    let count = valueCount(body)
    guard count <= valueLimit else {
      throw APIError(
        .invalid, "The body holds \(count) JSON values; at most \(valueLimit) are read.")
    }
    let json: JSONValue
    do throws(JSONComplaint) {
      json = try JSONValue(body, .tolerant)
    } catch {
      throw APIError(
        .invalid, "The body is no JSON at byte \(error.offset): \(error.problem).",
        code: "invalid_json")
    }
    return try Fields(json)
  }

  /// Counted without reading: one more than the commas and opening brackets outside strings.
  package static func valueCount(_ bytes: UnsafeRawBufferPointer) -> Int {
    var count = 1
    var isInString = false
    var isEscaped = false
    for byte in bytes {
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isInString = true
      case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{"): count += 1
      default: break
      }
    }
    return count
  }
}
