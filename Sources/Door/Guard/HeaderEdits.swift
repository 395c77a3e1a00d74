/// Fields that a head loses and gains on its way through.
package struct HeaderEdits: Sendable, Equatable {
  /// Names in lower case.
  package private(set) var dropped: [[UInt8]] = []
  /// Whole lines, each with its end.
  package private(set) var lines: [UInt8] = []
  private var added: [Line] = []

  private struct Line: Equatable {
    let name: String
    let value: String
  }

  package init() {}

  package var isEmpty: Bool { dropped.isEmpty && lines.isEmpty }

  /// Also what an earlier edit has added.
  package mutating func remove(_ name: String) {
    let lower = name.lowercased()
    if !dropped.contains(Array(lower.utf8)) { dropped.append(Array(lower.utf8)) }
    added.removeAll { $0.name.lowercased() == lower }
    spell()
  }

  package mutating func append(_ name: String, _ value: String) {
    added.append(Line(name: name, value: value))
    spell()
  }

  package mutating func set(_ name: String, _ value: String) {
    remove(name)
    append(name, value)
  }

  private mutating func spell() {
    lines = added.flatMap { Array("\($0.name): \($0.value)\r\n".utf8) }
  }
}
