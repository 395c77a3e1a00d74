/// A configuration as it is written out: what rendering prints, differences compare, and the JSON
/// Schema takes its defaults from.
package indirect enum Tree: Equatable {
  /// A number, a measure or a word of ours: needs no quotes.
  case word(String)
  /// A text of the operator's.
  case text(String)
  /// As `text`, but shown as `***` and never quoted in a difference.
  case secret(String)
  /// `noun` when the items are mappings with a `name`.
  case list([Tree], noun: String?)
  case map([Entry])

  package struct Entry: Equatable {
    package let key: String
    package let value: Tree
    package let note: Note

    package init(_ key: String, _ value: Tree, _ note: Note) {
      self.key = key
      self.value = value
      self.note = note
    }
  }

  /// What the schema knows of a key, for the annotated example.
  package struct Note: Equatable {
    package let doc: String
    /// What the example shows instead of a secret, already in YAML.
    package let sample: String?
    package let isDefault: Bool

    package init(doc: String, sample: String?, isDefault: Bool) {
      self.doc = doc
      self.sample = sample
      self.isDefault = isDefault
    }
  }

  package subscript(key: String) -> Tree? {
    guard case .map(let entries) = self else { return nil }
    return entries.first { $0.key == key }?.value
  }

  /// One line, for a difference.
  package var line: String {
    switch self {
    case .word(let word): word
    case .text(let text): shown(text)
    case .secret: "***"
    case .list(let items, _): "[" + items.map(\.line).joined(separator: ", ") + "]"
    case .map: "on"
    }
  }

  /// A default as an editor shows it.
  package var json: JSON? {
    switch self {
    case .word("true"): return .bool(true)
    case .word("false"): return .bool(false)
    case .word(let word):
      let isNumber = word.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2e }
      return isNumber ? .number(word) : .text(word)
    case .text(let text): return text.isEmpty ? nil : .text(text)
    case .list(let items, _): return .list(items.compactMap(\.json))
    case .secret, .map: return nil
    }
  }
}
