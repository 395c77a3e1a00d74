/// The known name that takes the fewest slips of the finger to reach from the typed one; nil when
/// none is known. A slip is a letter too many, too few, or wrong.
///
/// Unlike the nearest key of a configuration it always names one: who drains a backend by hand at
/// night wants to see a name that exists.
func nearestName(to typed: String, among names: [String]) -> String? {
  /// Names are compared up to here. Bytes; host names end at 253.
  let limit = 256
  let typed = Array(typed.utf8.prefix(limit))
  var best: (name: String, slips: Int)?
  for name in names {
    let slips = slips(from: typed, to: Array(name.utf8.prefix(limit)))
    if best.map({ slips < $0.slips }) ?? true { best = (name, slips) }
  }
  return best?.name
}

/// Levenshtein distance, one row at a time.
private func slips(from a: [UInt8], to b: [UInt8]) -> Int {
  var row = Array(0...b.count)
  for (i, letter) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, other) in b.enumerated() {
      let least = min(row[j] + 1, row[j + 1] + 1, diagonal + (letter == other ? 0 : 1))
      diagonal = row[j + 1]
      row[j + 1] = least
    }
  }
  return row[b.count]
}
