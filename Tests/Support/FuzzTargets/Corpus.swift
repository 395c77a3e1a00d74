import Glibc

/// The committed inputs of a target: `Tests/Fuzz/Corpus/NAME.txt`, one a line in the spelling of
/// `spelled`, lines that begin with `# ` left out.
package enum Corpus {
  /// The repository's root, from where this file stands.
  package static let repository: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(4).joined(separator: "/")
  }()

  /// nil when there is no such file, or a line of it is misspelt.
  package static func inputs(_ name: String) -> [[UInt8]]? {
    guard let text = contents("\(repository)/Tests/Fuzz/Corpus/\(name).txt") else { return nil }
    var inputs: [[UInt8]] = []
    for line in text.split(separator: "\n") where !line.hasPrefix("# ") {
      guard let input = unspelled(line) else { return nil }
      inputs.append(input)
    }
    return inputs
  }

  /// Words of a dictionary in libFuzzer's format: what is within the quotes of each line.
  package static func words(_ name: String) -> [[UInt8]] {
    let text = contents("\(repository)/Tests/Fuzz/Dictionaries/\(name).txt") ?? ""
    var words: [[UInt8]] = []
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      guard let first = line.firstIndex(of: "\""), let last = line.lastIndex(of: "\""), first < last
      else { continue }
      let inner = line[line.index(after: first)..<last]
      // libFuzzer escapes the quote too.
      let plain = inner.split(separator: "\\\"", omittingEmptySubsequences: false)
      if let word = unspelled(plain.joined(separator: "\"")) { words.append(word) }
    }
    return words
  }

  private static func contents(_ path: String) -> String? {
    bytes(path).map { String(decoding: $0, as: UTF8.self) }
  }

  /// A whole file; nil when there is none.
  static func bytes(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = fread(&piece, 1, piece.count, file)
      if count == 0 { return bytes }
      bytes += piece[..<count]
    }
  }
}
