/// Finding, cutting and replacing. All places are bytes, always between characters: a needle of
/// valid UTF-8 is found only there.
extension MarkedText {
  /// The first place of the needle within the range.
  func find(_ needle: [UInt8], in range: Range<Int>) -> Int? {
    guard let first = needle.first else { return range.lowerBound }
    guard range.count >= needle.count else { return nil }
    if needle.count > Self.comparedCount {
      return Self.find(count: needle.count, in: range.count) { (index, place) in
        needle[index] == bytes[range.lowerBound + place]
      } same: {
        needle[$0] == needle[$1]
      }.map { range.lowerBound + $0 }
    }
    return bytes.withUnsafeBufferPointer { hay in
      needle.withUnsafeBufferPointer { needle in
        for place in range.lowerBound...(range.upperBound - needle.count)
        where hay[place] == first {
          var length = 1
          while length < needle.count, hay[place + length] == needle[length] { length += 1 }
          if length == needle.count { return place }
        }
        return nil
      }
    }
  }

  /// The last place.
  func findLast(_ needle: [UInt8], in range: Range<Int>) -> Int? {
    guard range.count >= needle.count else { return nil }
    if needle.count > Self.comparedCount {
      // The same from the right.
      return Self.find(count: needle.count, in: range.count) { (index, place) in
        needle[needle.count - 1 - index] == bytes[range.upperBound - 1 - place]
      } same: {
        needle[needle.count - 1 - $0] == needle[needle.count - 1 - $1]
      }.map { range.upperBound - $0 - needle.count }
    }
    var place = range.upperBound - needle.count
    while place >= range.lowerBound {
      if bytes[place..<(place + needle.count)].elementsEqual(needle) { return place }
      place -= 1
    }
    return nil
  }

  /// Up to this length a needle is compared at every place. A longer one could make that slow on
  /// purpose.
  private static let comparedCount = 16

  /// Knuth, Morris and Pratt: linear whatever the needle.
  private static func find(
    count: Int, in hayCount: Int, matches: (_ index: Int, _ place: Int) -> Bool,
    same: (_ index: Int, _ other: Int) -> Bool
  ) -> Int? {
    // How much of the beginning still matches after a mismatch behind so many.
    var fallback = [0, 0]
    fallback.reserveCapacity(count + 1)
    var matched = 0
    for index in 1..<count {
      while matched > 0, !same(index, matched) { matched = fallback[matched] }
      if same(index, matched) { matched += 1 }
      fallback.append(matched)
    }
    matched = 0
    for place in 0..<hayCount {
      while matched > 0, !matches(matched, place) { matched = fallback[matched] }
      if matches(matched, place) { matched += 1 }
      if matched == count { return place + 1 - count }
    }
    return nil
  }

  func contains(_ needle: [UInt8]) -> Bool { find(needle, in: 0..<count) != nil }

  func starts(with prefix: [UInt8]) -> Bool { bytes.starts(with: prefix) }

  func ends(with suffix: [UInt8]) -> Bool {
    count >= suffix.count && bytes[(count - suffix.count)...].elementsEqual(suffix)
  }

  /// Without the characters of the set at the ends; without whitespace when there is none.
  func stripped(_ set: Set<Unicode.Scalar>? = nil, left: Bool = true, right: Bool = true)
    -> MarkedText
  {
    func isCut(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
    var start = 0
    var end = count
    while left, start < end {
      let (scalar, next) = scalar(at: start)
      if !isCut(scalar) { break }
      start = next
    }
    while right, start < end {
      let (scalar, before) = scalar(before: end)
      if !isCut(scalar) { break }
      end = before
    }
    return part(start..<end)
  }

  /// `split` with a separator. At most `limit` cuts.
  func split(by separator: [UInt8], limit: Int) -> [MarkedText] {
    var parts: [MarkedText] = []
    var start = 0
    while parts.count < limit, let place = find(separator, in: start..<count) {
      parts.append(part(start..<place))
      start = place + separator.count
    }
    parts.append(part(start..<count))
    return parts
  }

  /// `rsplit` with a separator.
  func splitFromRight(by separator: [UInt8], limit: Int) -> [MarkedText] {
    var parts: [MarkedText] = []
    var end = count
    while parts.count < limit, let place = findLast(separator, in: 0..<end) {
      parts.append(part((place + separator.count)..<end))
      end = place
    }
    parts.append(part(0..<end))
    return parts.reversed()
  }

  /// `split` without a separator: by runs of whitespace, with nothing empty.
  func splitBySpace(limit: Int) -> [MarkedText] {
    var parts: [MarkedText] = []
    var place = 0
    while true {
      while place < count {
        let (scalar, next) = scalar(at: place)
        if !scalar.isPythonSpace { break }
        place = next
      }
      if place == count { return parts }
      if parts.count == limit {
        parts.append(part(place..<count))
        return parts
      }
      let start = place
      while place < count {
        let (scalar, next) = scalar(at: place)
        if scalar.isPythonSpace { break }
        place = next
      }
      parts.append(part(start..<place))
    }
  }

  /// `rsplit` without a separator.
  func splitBySpaceFromRight(limit: Int) -> [MarkedText] {
    var parts: [MarkedText] = []
    var place = count
    while true {
      while place > 0 {
        let (scalar, before) = scalar(before: place)
        if !scalar.isPythonSpace { break }
        place = before
      }
      if place == 0 { return parts.reversed() }
      if parts.count == limit {
        parts.append(part(0..<place))
        return parts.reversed()
      }
      let end = place
      while place > 0 {
        let (scalar, before) = scalar(before: place)
        if scalar.isPythonSpace { break }
        place = before
      }
      parts.append(part(place..<end))
    }
  }

  func splitLines(keepingEnds: Bool) -> [MarkedText] {
    var lines: [MarkedText] = []
    var start = 0
    var place = 0
    while place < count {
      let (scalar, next) = scalar(at: place)
      guard scalar.isPythonLineEnd else {
        place = next
        continue
      }
      var end = next
      if scalar == "\r", end < count, bytes[end] == UInt8(ascii: "\n") { end += 1 }
      lines.append(part(start..<(keepingEnds ? end : place)))
      start = end
      place = end
    }
    if start < count { lines.append(part(start..<count)) }
    return lines
  }
}
