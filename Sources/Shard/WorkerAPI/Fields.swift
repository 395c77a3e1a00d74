import JSON

/// The members of a request, read with complaints that name the field and what it may be. A member
/// that is null counts as absent, as it does for OpenAI; unknown ones are not looked at.
package struct Fields {
  private let members: [String: JSONValue]

  package init(_ json: JSONValue) throws(APIError) {
    guard case .object(let members) = json else {
      throw APIError(.invalid, "The body must be a JSON object.", code: "invalid_json")
    }
    self.members = members
  }

  /// All of them, nulls too.
  package var all: [String: JSONValue] { members }

  package subscript(_ name: String) -> JSONValue? {
    let value = members[name]
    return value == .null ? nil : value
  }

  package func flag(_ name: String) throws(APIError) -> Bool? {
    guard let value = self[name] else { return nil }
    guard let flag = value.flag else {
      throw .invalid(name, "'\(name)' must be true or false, not \(value.kind).")
    }
    return flag
  }

  package func text(_ name: String) throws(APIError) -> String? {
    guard let value = self[name] else { return nil }
    guard let text = value.text else {
      throw .invalid(name, "'\(name)' must be a text, not \(value.kind).")
    }
    return text
  }

  package func integer(_ name: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
    guard let value = self[name] else { return nil }
    guard let integer = value.integer, range.contains(integer) else {
      let bounds =
        range.upperBound == .max
        ? "of at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
      throw .invalid(name, "'\(name)' must be a whole number \(bounds), not \(value.shown).")
    }
    return integer
  }

  package func number(_ name: String, _ range: ClosedRange<Double>) throws(APIError) -> Float? {
    guard let value = self[name] else { return nil }
    guard let number = value.number, range.contains(number) else {
      throw .invalid(
        name,
        "'\(name)' must be a number from \(Self.text(range.lowerBound)) to "
          + "\(Self.text(range.upperBound)), not \(value.shown).")
    }
    return Float(number)
  }

  package static func text(_ number: Double) -> String {
    Int(exactly: number).map(String.init) ?? number.description
  }
}

extension JSONValue {
  /// For a sentence that says what stands where something else should.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "true or false"
    case .number: "a number"
    case .string: "a text"
    case .array: "a list"
    case .object: "an object"
    }
  }

  /// The value itself where it is short.
  package var shown: String {
    switch self {
    case .number(let number): Fields.text(number)
    case .bool(let flag): "\(flag)"
    case .null, .string, .array, .object: kind
    }
  }
}
