/// The options of one command, as they were written. Small on purpose: each command asks for what
/// it knows, and whatever is left over is a misuse.
package struct Options {
  package struct Misuse: Error {
    package let problem: String

    package init(problem: String) { self.problem = problem }
  }

  private var words: [String]

  package init(_ words: [String]) { self.words = words }

  package var asksForHelp: Bool { words.contains("--help") || words.contains("-h") }

  /// True when the flag is there; takes it out.
  package mutating func flag(_ names: String...) -> Bool {
    guard let place = words.firstIndex(where: names.contains) else { return false }
    words.remove(at: place)
    return true
  }

  /// The value behind an option, as `--name VALUE` or `--name=VALUE`; takes both out.
  package mutating func value(_ names: String...) throws(Misuse) -> String? {
    for name in names {
      if let place = words.firstIndex(of: name) {
        guard place + 1 < words.count else { throw Misuse(problem: "\(name) needs a value") }
        defer { words.removeSubrange(place...(place + 1)) }
        return words[place + 1]
      }
      if let place = words.firstIndex(where: { $0.hasPrefix(name + "=") }) {
        return String(words.remove(at: place).dropFirst(name.count + 1))
      }
    }
    return nil
  }

  /// The one file that a command is about, as `-c FILE` or alone. Asked for behind all other options.
  package mutating func configurationFile(for command: String) throws(Misuse) -> String {
    let named = try value("-c", "--config")
    let operands = try operands(atMost: named == nil ? 1 : 0)
    guard let path = named ?? operands.first else {
      throw Misuse(problem: "\(command) needs a configuration file")
    }
    return path
  }

  /// The words that are no options, once all options have been taken out.
  package func operands(atMost limit: Int) throws(Misuse) -> [String] {
    if let unknown = words.first(where: { $0.hasPrefix("-") && $0 != "-" }) {
      throw Misuse(problem: "unknown option '\(unknown)'")
    }
    if words.count > limit { throw Misuse(problem: "unexpected argument '\(words[limit])'") }
    return words
  }
}
