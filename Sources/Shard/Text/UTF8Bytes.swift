/// Bytes of a text. Where a function says so they are known to be valid UTF-8.
typealias Bytes = UnsafeBufferPointer<UInt8>

/// What stands at one place of some bytes that should be UTF-8.
enum UTF8Step: Equatable {
  case scalar(length: Int)
  /// So many bytes are one U+FFFD: the longest beginning of a character, as Unicode advises and as
  /// Rust's lossy decoding does.
  case broken(length: Int)
  /// A character may be complete when more bytes come. 1 to 3 bytes.
  case incomplete(length: Int)

  init(_ bytes: Bytes, at place: Int) {
    let first = bytes[place]
    guard first >= 0x80 else {
      self = .scalar(length: 1)
      return
    }
    let length: Int
    var lowest: UInt8 = 0x80
    var highest: UInt8 = 0xbf
    switch first {
    case 0xc2...0xdf: length = 2
    case 0xe0...0xef:
      length = 3
      if first == 0xe0 { lowest = 0xa0 }
      if first == 0xed { highest = 0x9f }
    case 0xf0...0xf4:
      length = 4
      if first == 0xf0 { lowest = 0x90 }
      if first == 0xf4 { highest = 0x8f }
    default:
      self = .broken(length: 1)
      return
    }
    for offset in 1..<length {
      guard place + offset < bytes.count else {
        self = .incomplete(length: offset)
        return
      }
      guard (lowest...highest).contains(bytes[place + offset]) else {
        self = .broken(length: offset)
        return
      }
      lowest = 0x80
      highest = 0xbf
    }
    self = .scalar(length: length)
  }
}

/// First byte that is not part of valid UTF-8; nil where all are.
func firstBroken(_ bytes: Bytes) -> Int? {
  var place = 0
  let raw = UnsafeRawBufferPointer(bytes)
  while place < bytes.count {
    while place + 8 <= bytes.count,
      raw.loadUnaligned(fromByteOffset: place, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
    { place += 8 }
    guard place < bytes.count else { return nil }
    guard case .scalar(let length) = UTF8Step(bytes, at: place) else { return place }
    place += length
  }
  return nil
}

/// The bytes with U+FFFD in place of what is no UTF-8.
func repaired(_ bytes: Bytes) -> [UInt8] {
  var text: [UInt8] = []
  text.reserveCapacity(bytes.count + 16)
  var place = 0
  while place < bytes.count {
    switch UTF8Step(bytes, at: place) {
    case .scalar(let length):
      text += bytes[place..<place + length]
      place += length
    case .broken(let length), .incomplete(let length):
      text += [0xef, 0xbf, 0xbd]
      place += length
    }
  }
  return text
}

extension Bytes {
  /// The scalar at a place of valid UTF-8, and the place behind it.
  @inline(__always)
  func scalar(at place: Int) -> (value: UInt32, next: Int) {
    let first = UInt32(self[place])
    if first < 0x80 { return (first, place + 1) }
    if first < 0xe0 { return ((first & 31) << 6 | continuation(place + 1), place + 2) }
    if first < 0xf0 {
      let value =
        (first & 15) << 12 | continuation(place + 1) << 6 | continuation(place + 2)
      return (value, place + 3)
    }
    let value =
      (first & 7) << 18 | continuation(place + 1) << 12 | continuation(place + 2) << 6
      | continuation(place + 3)
    return (value, place + 4)
  }

  /// The scalar before a place of valid UTF-8 that is not the first.
  func scalar(before place: Int) -> (value: UInt32, start: Int) {
    var start = place - 1
    while start > 0, self[start] & 0xc0 == 0x80 { start -= 1 }
    return (scalar(at: start).value, start)
  }

  @inline(__always)
  private func continuation(_ place: Int) -> UInt32 { UInt32(self[place] & 63) }
}

extension [UInt8] {
  mutating func append(scalar: UInt32) {
    switch scalar {
    case ..<0x80: append(UInt8(scalar))
    case ..<0x800:
      append(0xc0 | UInt8(scalar >> 6))
      append(0x80 | UInt8(scalar & 63))
    case ..<0x10000:
      append(0xe0 | UInt8(scalar >> 12))
      append(0x80 | UInt8(scalar >> 6 & 63))
      append(0x80 | UInt8(scalar & 63))
    default:
      append(0xf0 | UInt8(scalar >> 18 & 7))
      append(0x80 | UInt8(scalar >> 12 & 63))
      append(0x80 | UInt8(scalar >> 6 & 63))
      append(0x80 | UInt8(scalar & 63))
    }
  }

  /// The bytes, for as long as the body runs; also where there are none.
  func withBytes<R, E: Error>(_ body: (Bytes) throws(E) -> R) throws(E) -> R {
    try withUnsafeBufferPointer(body)
  }
}
