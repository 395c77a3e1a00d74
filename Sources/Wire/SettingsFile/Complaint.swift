/// What is wrong with a configuration, where, and what to type instead.
///
/// Prints as `portico.yaml:12:7: unknown key 'adress'; did you mean 'address'?`, the form in which
/// editors and terminals find the place.
package struct Complaint: Sendable, Hashable, CustomStringConvertible {
  package let file: String
  /// Counted from 1; 0 when the file as a whole is meant, such as one that cannot be opened.
  package let line: Int
  /// Counted from 1, in characters.
  package let column: Int
  package let message: String

  package init(file: String, line: Int, column: Int, message: String) {
    self.file = file
    self.line = line
    self.column = column
    self.message = message
  }

  package init(_ place: Place, _ message: String) {
    self.init(file: place.file, line: place.line, column: place.column, message: message)
  }

  package var description: String {
    line == 0 ? "\(file): \(message)" : "\(file):\(line):\(column): \(message)"
  }
}

/// A position in one of the files.
package struct Place: Hashable {
  package let file: String
  /// Counted from 1; 0 for the whole file.
  package let line: Int
  /// Counted from 1, in characters.
  package let column: Int

  package init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  package static func whole(_ file: String) -> Place { Place(file: file, line: 0, column: 0) }

  package func moved(by characters: Int) -> Place {
    Place(file: file, line: line, column: column + characters)
  }

  /// As a complaint about another place names it: the file only when it differs.
  package func named(from other: Place) -> String {
    file == other.file ? "on line \(line)" : "at \(file):\(line)"
  }
}

/// Complaints in the order found, each once, and no more than a person will read.
package struct ComplaintList {
  /// A file in the wrong format altogether would yield one for every line.
  package static let limit = 50

  package private(set) var items: [Complaint] = []
  /// Found beyond the limit. Count.
  package private(set) var omitted = 0
  private var seen: Set<Complaint> = []

  package init() {}

  package var isEmpty: Bool { items.isEmpty }
  package var isFull: Bool { items.count >= Self.limit }
  /// With those that are left out.
  package var count: Int { items.count + omitted }

  /// An anchor that is used twice is wrong twice, but is said once.
  package mutating func add(_ complaint: Complaint) {
    guard !seen.contains(complaint) else { return }
    guard items.count < Self.limit else {
      omitted += 1
      return
    }
    seen.insert(complaint)
    items.append(complaint)
  }

  /// By file in the order of `files`, then from top to bottom.
  package func sorted(files: [String]) -> [Complaint] {
    let rank = Dictionary(
      files.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    return items.sorted { a, b in
      (rank[a.file] ?? -1, a.line, a.column) < (rank[b.file] ?? -1, b.line, b.column)
    }
  }
}

/// Text of the operator's as it is shown back: on one line, shortened, without control characters.
package func shown(_ text: String, limit: Int = 60) -> String {
  var result = ""
  for scalar in text.unicodeScalars.prefix(limit) {
    switch scalar {
    case "\n": result += "\\n"
    case "\t": result += "\\t"
    case "\r": result += "\\r"
    case let c where c.value < 0x20 || (0x7f...0x9f).contains(c.value):
      result += "\\u{\(String(c.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return text.unicodeScalars.count > limit ? result + "..." : result
}

/// The candidate that was most likely meant, or nil when none is near.
///
/// Near is a third of the word's length in slips (a letter too many, too few, wrong or swapped), at
/// least one and at most three.
package func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
  let typed = Array(word.lowercased().utf8)
  guard (1...64).contains(typed.count) else { return nil }
  var best: (word: String, slips: Int)?
  for candidate in candidates {
    let slips = slipsBetween(typed, Array(candidate.lowercased().utf8))
    guard slips <= max(1, min(3, typed.count / 3)) else { continue }
    if best.map({ slips < $0.slips }) ?? true { best = (candidate, slips) }
  }
  return best?.word
}

/// Optimal string alignment distance.
private func slipsBetween(_ a: [UInt8], _ b: [UInt8]) -> Int {
  if abs(a.count - b.count) > 3 { return .max }
  var beforeLast: [Int] = []
  var last = Array(0...b.count)
  for i in 1...max(1, a.count) where !a.isEmpty {
    var row = [i]
    for j in 1...max(1, b.count) where !b.isEmpty {
      let same = a[i - 1] == b[j - 1]
      var least = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1))
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
        least = min(least, beforeLast[j - 2] + 1)
      }
      row.append(least)
    }
    beforeLast = last
    last = row
  }
  return last[b.count]
}

/// `a`, `a and b`, `a, b and c`, with another word than `and` where needed.
package func enumerated(_ words: [String], _ last: String = "and") -> String {
  guard words.count > 1 else { return words.first ?? "" }
  return words.dropLast().joined(separator: ", ") + " \(last) \(words[words.count - 1])"
}
