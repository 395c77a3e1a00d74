import JSON

/// Just enough JSON to write a schema: members keep their order.
package indirect enum JSON {
  case text(String)
  /// As written.
  case number(String)
  case bool(Bool)
  case list([JSON])
  case object([(key: String, value: JSON)])

  package static func integer(_ value: Int) -> JSON { .number(String(value)) }

  /// This object with more members behind.
  package func adding(_ members: [(key: String, value: JSON)]) -> JSON {
    guard case .object(let own) = self else { return self }
    return .object(own + members)
  }

  /// Two spaces of indentation; lists of plain values on one line.
  package func print(indent: String = "") -> String {
    let inner = indent + "  "
    switch self {
    case .text(let text): return JSONText.quoted(text)
    case .number(let text): return text
    case .bool(let value): return value ? "true" : "false"
    case .list(let items):
      if items.allSatisfy(\.isPlain) {
        let line = "[" + items.map { $0.print() }.joined(separator: ", ") + "]"
        if line.utf8.count + indent.utf8.count < 80 { return line }
      }
      let lines = items.map { inner + $0.print(indent: inner) }
      return "[\n" + lines.joined(separator: ",\n") + "\n\(indent)]"
    case .object(let members):
      if members.isEmpty { return "{}" }
      let lines = members.map {
        inner + JSONText.quoted($0.key) + ": " + $0.value.print(indent: inner)
      }
      return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
    }
  }

  private var isPlain: Bool {
    switch self {
    case .text, .number, .bool: true
    case .list, .object: false
    }
  }
}
