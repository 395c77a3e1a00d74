/// A JSON text as a value. For small texts of the control side and of the mock, never for the data
/// path: each text, list and object is memory of its own.
package enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// How to read what RFC 8259 leaves open. Syntax is the RFC's in both: no comments, no trailing
  /// commas, nothing after the value.
  package enum Reading: Sendable {
    /// A name that stands twice, half of a surrogate pair and bytes that are not UTF-8 are refused:
    /// right for texts of our own, where each of them is a mistake of ours.
    case strict
    /// Of equal names the last counts, and what is no character becomes U+FFFD: right for texts of
    /// strangers, since the JSON readers of the engines take them too.
    case tolerant
  }

  /// Arrays and objects within each other. Count; schemas of tools reach about 20, our own texts
  /// five, and the stack of a loop is short.
  package static let depthLimit = 100

  package init(
    _ bytes: UnsafeRawBufferPointer, _ reading: Reading = .strict
  ) throws(JSONComplaint) {
    var reader = JSONReader(bytes, reading)
    self = try reader.wholeText()
  }

  package init(_ bytes: [UInt8], _ reading: Reading = .strict) throws(JSONComplaint) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(JSONComplaint) in
      try JSONValue(UnsafeRawBufferPointer(bytes), reading)
    }
  }

  package init(_ text: String, _ reading: Reading = .strict) throws(JSONComplaint) {
    self = try JSONValue(Array(text.utf8), reading)
  }

  // MARK: Looking inside

  /// The member of that name; nil also where this is no object.
  package subscript(_ name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members[name]
  }

  package var text: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  package var number: Double? {
    guard case .number(let number) = self else { return nil }
    return number
  }

  /// A number without fraction.
  package var integer: Int? { number.flatMap { Int(exactly: $0) } }

  package var flag: Bool? {
    guard case .bool(let flag) = self else { return nil }
    return flag
  }

  package var elements: [JSONValue]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }
}

/// Why and where a text is not JSON.
package struct JSONComplaint: Error, Equatable, CustomStringConvertible {
  /// Bytes before the place.
  package let offset: Int
  package let problem: String

  package var description: String { "not JSON at byte \(offset): \(problem)" }
}
