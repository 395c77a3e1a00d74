import SettingsFile

/// The effective configuration as YAML, with every default written out. Loading it gives the same
/// settings; unless `showSecrets` is set, secrets read `***`.
package func render(_ settings: Settings, showSecrets: Bool = false) -> String {
  var writer = YAMLWriter(showSecrets: showSecrets)
  writer.write(Schema().root.entries(settings), indent: 0)
  return writer.text
}

/// Writes trees as YAML that our own reader, and any other, reads back.
struct YAMLWriter {
  private(set) var text = ""
  let showSecrets: Bool
  /// For people: each key with its doc where it first appears, and of further items in a list only
  /// what is not a default.
  var isAnnotated = false
  private var explained: Set<String> = []

  init(showSecrets: Bool, isAnnotated: Bool = false) {
    self.showSecrets = showSecrets
    self.isAnnotated = isAnnotated
  }

  /// - Parameters:
  ///   - start: what stands before the first key: the `- ` of a list.
  ///   - isBrief: leave out what has its default.
  mutating func write(
    _ entries: [Tree.Entry], indent: Int, start: String? = nil, path: String = "",
    isBrief: Bool = false
  ) {
    var start = start
    for entry in entries where !(isBrief && entry.note.isDefault) {
      let keyPath = path + "." + entry.key
      let margin = String(repeating: " ", count: indent)
      if isAnnotated, explained.insert(keyPath).inserted {
        // A comment cannot stand between the dash and its key, so it stands before the dash.
        let before = start.map { String(repeating: " ", count: $0.utf8.count - 2) } ?? margin
        if indent == 0, !text.isEmpty { text += "\n" }
        for line in wrapped(entry.note.doc, width: 96 - before.utf8.count) {
          text += "\(before)# \(line)\n"
        }
      }
      text += (start ?? margin) + Self.inQuotes(entry.key, isInList: true) + ":"
      start = nil
      write(entry, indent: indent, path: keyPath, isBrief: isBrief)
    }
  }

  private mutating func write(_ entry: Tree.Entry, indent: Int, path: String, isBrief: Bool) {
    switch entry.value {
    case .map(let entries) where entries.isEmpty:
      text += " {}\n"
    case .map(let entries):
      text += "\n"
      write(entries, indent: indent + 2, path: path, isBrief: isBrief)
    case .list(let items, noun: .some):
      text += "\n"
      for (index, item) in items.enumerated() {
        let dash = String(repeating: " ", count: indent + 2) + "- "
        guard case .map(let entries) = item else { continue }
        write(
          entries, indent: indent + 4, start: dash, path: path,
          isBrief: isBrief || (isAnnotated && index > 0))
      }
    case .list(let items, noun: nil):
      text += " [" + items.map { scalar($0, isInList: true) }.joined(separator: ", ") + "]\n"
    case .secret where isAnnotated:
      text += " \(entry.note.sample ?? "'***'")\n"
    case .word, .text, .secret:
      text += " \(scalar(entry.value, isInList: false))\n"
    }
  }

  private func scalar(_ value: Tree, isInList: Bool) -> String {
    switch value {
    case .word(let word): word
    case .text(let text): Self.quote(text, isInList: isInList)
    case .secret(let text): Self.quote(showSecrets ? text : "***", isInList: isInList)
    case .list, .map: preconditionFailure("a list of plain values holds \(value)")
    }
  }

  /// A value: a dollar sign is doubled, or it would begin a reference to the environment.
  static func quote(_ raw: String, isInList: Bool) -> String {
    let text = raw.split(separator: "$", omittingEmptySubsequences: false).joined(separator: "$$")
    return inQuotes(text, isInList: isInList)
  }

  /// Plain where every YAML reader takes it for the same text, in quotes otherwise.
  private static func inQuotes(_ text: String, isInList: Bool) -> String {
    if isPlain(text, isInList: isInList) { return text }
    if text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) {
      return "'"
        + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case let c where c.value < 0x20 || (0x7f...0xa0).contains(c.value):
        result += "\\x" + hexadecimalDigits(c.value, width: 2)
      case let c where c.value == 0x2028 || c.value == 0x2029 || c.value == 0xfeff:
        result += "\\u" + hexadecimalDigits(c.value, width: 4)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  private static func isPlain(_ text: String, isInList: Bool) -> Bool {
    guard let first = text.utf8.first, let last = text.utf8.last, last != 0x3a else { return false }
    let isWordCharacter = { (byte: UInt8) in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2e, 0x2f, 0x5f: true
      default: false
      }
    }
    guard isWordCharacter(first),
      text.utf8.allSatisfy({
        isWordCharacter($0) || $0 == 0x2d || $0 == 0x2a || $0 == 0x40
          || ($0 == 0x3a && !isInList)
      })
    else { return false }
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
    if words.contains(text.lowercased()) { return false }
    // What another reader may take for a number, a date or a time. Addresses have more dots.
    let isNumberLike = text.utf8.allSatisfy {
      (0x30...0x39).contains($0) || [0x2e, 0x2d, 0x3a, 0x5f, 0x65, 0x45].contains($0)
    }
    let isOtherNumber = first == 0x2e || text.hasPrefix("0x") || text.hasPrefix("0o")
    return !(isNumberLike && text.utf8.filter { $0 == 0x2e }.count < 2) && !isOtherNumber
  }

  private func wrapped(_ text: String, width: Int) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let last = lines.last, last.utf8.count + 1 + word.utf8.count <= width {
        lines[lines.count - 1] = last + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }
}
