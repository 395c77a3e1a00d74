/// Finds the first of some stop strings in a text that comes in pieces, and holds back no more than
/// might still become one.
///
/// The string that is complete first ends the text; of two that are complete with the same byte, the
/// longer one, which began earlier. Strings and texts are UTF-8, so what is held back begins with a
/// character's first byte, and what is let go ends with a character's last.
struct StopScanner {
  private var finders: [ByteFinder]
  private let includesStop: Bool
  private var held: [UInt8] = []
  /// A stop string was found: the text is over.
  private(set) var isStopped = false

  /// None of the strings is empty. `includesStop`: the one that was found is part of the text.
  init(_ strings: [String], includesStop: Bool = false) {
    finders = strings.map { ByteFinder($0.utf8) }
    self.includesStop = includesStop
  }

  /// Takes a piece and returns what may be shown now. `mayStop` false: no string counts that begins
  /// before the end of this piece.
  mutating func append(_ text: String, mayStop: Bool = true) -> String {
    if isStopped { return "" }
    if finders.isEmpty { return text }
    guard mayStop else { return finish() + text }
    for byte in text.utf8 {
      held.append(byte)
      var found = 0
      for index in finders.indices where finders[index].step(byte) {
        found = max(found, finders[index].bytes.count)
      }
      guard found > 0 else { continue }
      isStopped = true
      return release(held.count - (includesStop ? 0 : found))
    }
    return release(held.count - (finders.map(\.matched).max() ?? 0))
  }

  /// The text is over without a stop string.
  mutating func finish() -> String {
    for index in finders.indices { finders[index].reset() }
    return isStopped ? "" : release(held.count)
  }

  private mutating func release(_ count: Int) -> String {
    defer { held.removeFirst(count) }
    return String(decoding: held[..<count], as: UTF8.self)
  }
}
