import JSON

/// A JSON text: what is read strictly is read tolerantly too, and to the same; what is written of it
/// is read back as the same.
func checkJSON(_ bytes: UnsafeRawBufferPointer) throws {
  let strict = try bytes.withExactCopy(count: bytes.count) { read($0, .strict) }
  let tolerant = try bytes.withExactCopy(count: bytes.count) { read($0, .tolerant) }
  switch (strict, tolerant) {
  case (.value(let a), .value(let b)): try require(a == b, "strict and tolerant differ")
  case (.value, .complaint(let complaint)): throw BrokenRule("only strict reads it: \(complaint)")
  case (.complaint(let complaint), _):
    try require(
      (0...bytes.count).contains(complaint.offset), "complains of byte \(complaint.offset)")
  }
  guard case .value(let value) = tolerant else { return }
  let text = written(value)
  let again = Array(text.utf8).withUnsafeBytes { read($0, .strict) }
  guard case .value(let other) = again else { throw BrokenRule("written as \(text): \(again)") }
  try require(other == value, "written as \(text)")
}

private enum Reading {
  case value(JSONValue)
  case complaint(JSONComplaint)
}

private func read(_ bytes: UnsafeRawBufferPointer, _ reading: JSONValue.Reading) -> Reading {
  do throws(JSONComplaint) {
    return .value(try JSONValue(bytes, reading))
  } catch {
    return .complaint(error)
  }
}

private func written(_ value: JSONValue) -> String {
  switch value {
  case .null: "null"
  case .bool(let flag): flag ? "true" : "false"
  case .number(let number): "\(number)"
  case .string(let text): JSONText.quoted(text)
  case .array(let elements): "[" + elements.map(written).joined(separator: ",") + "]"
  case .object(let members):
    "{"
      + members.map { JSONText.quoted($0) + ":" + written($1) }.joined(separator: ",") + "}"
  }
}
