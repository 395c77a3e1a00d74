/// The Knuth-Morris-Pratt automaton of one pattern: finds it in bytes that come one by one, each at a
/// constant cost on average, whatever the bytes.
struct ByteFinder {
  let bytes: [UInt8]
  /// For each length of a match, the next shorter one that it ends with.
  private let fallback: [Int]
  /// Bytes of the pattern that the bytes so far end with.
  private(set) var matched = 0

  /// The pattern is not empty.
  init(_ pattern: some Collection<UInt8>) {
    bytes = Array(pattern)
    var fallback = [0, 0]
    for index in bytes.indices.dropFirst() {
      var length = fallback[index]
      while length > 0, bytes[length] != bytes[index] { length = fallback[length] }
      fallback.append(bytes[length] == bytes[index] ? length + 1 : 0)
    }
    self.fallback = fallback
  }

  mutating func reset() { matched = 0 }

  /// True when the pattern is complete with this byte.
  mutating func step(_ byte: UInt8) -> Bool {
    if matched == bytes.count { matched = fallback[matched] }
    while matched > 0, bytes[matched] != byte { matched = fallback[matched] }
    if bytes[matched] == byte { matched += 1 }
    return matched == bytes.count
  }
}
