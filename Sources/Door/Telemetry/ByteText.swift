/// Text under construction, as bytes in memory of its own. No String, no formatting machinery.
///
/// `reserve` says once how much may follow; the `put` that come after it do not check again (a
/// debug build does). The memory grows by doubling and is kept when the text is `clear`ed.
struct ByteText: ~Copyable {
  private(set) var base: UnsafeMutablePointer<UInt8>
  private(set) var count = 0
  private var capacity: Int
  private let isOwner: Bool

  init(capacity: Int = 4_096) {
    base = .allocate(capacity: capacity)
    self.capacity = capacity
    isOwner = true
  }

  /// Writes into memory that somebody else owns and has made large enough; it cannot grow.
  init(into memory: UnsafeMutablePointer<UInt8>, capacity: Int) {
    base = memory
    self.capacity = capacity
    isOwner = false
  }

  deinit { if isOwner { base.deallocate() } }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  mutating func clear() { count = 0 }

  /// Makes sure that this many bytes may be put.
  mutating func reserve(_ more: Int) {
    if capacity - count >= more { return }
    precondition(isOwner, "byte text: \(more) more bytes do not fit into lent memory")
    let larger = max(capacity * 2, count + more)
    let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
    fresh.update(from: base, count: count)
    base.deallocate()
    base = fresh
    capacity = larger
  }

  // MARK: After `reserve`

  mutating func put(byte: UInt8) {
    assert(count < capacity, "byte text: put without reserve")
    base[count] = byte
    count &+= 1
  }

  mutating func put(_ text: StaticString) {
    put(start: text.utf8Start, count: text.utf8CodeUnitCount)
  }

  mutating func put(_ bytes: [UInt8]) {
    bytes.withUnsafeBufferPointer { put(start: $0.baseAddress, count: $0.count) }
  }

  mutating func put(start: UnsafePointer<UInt8>?, count more: Int) {
    guard let start, more > 0 else { return }
    assert(capacity - count >= more, "byte text: put without reserve")
    (base + count).update(from: start, count: more)
    count &+= more
  }

  /// At most 20 bytes.
  mutating func put(decimal value: UInt64) {
    let digits = Self.digits(value)
    assert(capacity - count >= digits, "byte text: put without reserve")
    var rest = value
    var place = count &+ digits
    repeat {
      let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
      place &-= 1
      base[place] = UInt8(truncatingIfNeeded: remainder) &+ 0x30
      rest = quotient
    } while rest != 0
    count &+= digits
  }

  /// Exactly `width` digits, zeros in front.
  mutating func put(_ value: Int, width: Int) {
    assert(capacity - count >= width, "byte text: put without reserve")
    var rest = value
    for place in stride(from: count &+ width &- 1, through: count, by: -1) {
      base[place] = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
      rest /= 10
    }
    count &+= width
  }

  private static func digits(_ value: UInt64) -> Int {
    var digits = 1
    var rest = value
    while rest >= 10 {
      digits &+= 1
      rest /= 10
    }
    return digits
  }

  // MARK: Times

  /// The moment as RFC 3339 writes it, in UTC with milliseconds: 24 bytes.
  ///
  /// The date is reckoned in years that begin in March (Howard Hinnant's `civil_from_days`), so leap
  /// days need no table.
  mutating func put(timeOf wallNanoseconds: Int64) {
    let milliseconds = Int(max(wallNanoseconds, 0) / 1_000_000)
    let (seconds, fraction) = milliseconds.quotientAndRemainder(dividingBy: 1_000)
    let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    put(yearOfEra + era * 400 + (month <= 2 ? 1 : 0), width: 4)
    put(byte: UInt8(ascii: "-"))
    put(month, width: 2)
    put(byte: UInt8(ascii: "-"))
    put(day, width: 2)
    put(byte: UInt8(ascii: "T"))
    put(second / 3_600, width: 2)
    put(byte: UInt8(ascii: ":"))
    put(second / 60 % 60, width: 2)
    put(byte: UInt8(ascii: ":"))
    put(second % 60, width: 2)
    put(byte: UInt8(ascii: "."))
    put(fraction, width: 3)
    put(byte: UInt8(ascii: "Z"))
  }

  /// Milliseconds with three digits behind the point: at most 21 bytes.
  mutating func put(millisecondsOf nanoseconds: Int64) {
    let microseconds = UInt64(max(nanoseconds, 0)) / 1_000
    put(decimal: microseconds / 1_000)
    put(byte: UInt8(ascii: "."))
    put(Int(microseconds % 1_000), width: 3)
  }

  // MARK: JSON

  /// Bytes that a JSON string takes at most for this many bytes of content, without quotes.
  static func jsonBound(_ count: Int) -> Int { count * 6 }

  /// The content of a JSON string for bytes from the network: at most `jsonBound` bytes.
  ///
  /// What is not printable ASCII is written as `\u00XX`, so a log line is valid whatever a client
  /// sends, is one line, and says exactly which bytes came.
  mutating func put(json bytes: UnsafeRawBufferPointer) {
    assert(capacity - count >= bytes.count, "byte text: put without reserve")
    guard let from = bytes.baseAddress else { return }
    var index = 0
    while index &+ 8 <= bytes.count {
      let word = from.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      if Self.needsEscape(word) {
        for offset in index..<(index &+ 8) { put(jsonByte: bytes[offset]) }
      } else {
        UnsafeMutableRawPointer(base + count).storeBytes(of: word, as: UInt64.self)
        count &+= 8
      }
      index &+= 8
    }
    while index < bytes.count {
      put(jsonByte: bytes[index])
      index &+= 1
    }
  }

  /// One of eight bytes is a control, a quote, a backslash, DEL, or beyond ASCII.
  private static func needsEscape(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    func hasZero(_ x: UInt64) -> UInt64 { (x &- ones) & ~x & highs }
    let controls = (word &- ones &* 0x20) & ~word & highs
    return (word & highs) | controls | hasZero(word ^ ones &* 0x22)
      | hasZero(word ^ ones &* 0x5C) | hasZero(word ^ ones &* 0x7F) != 0
  }

  mutating func put(jsonByte byte: UInt8) {
    switch byte {
    case 0x22, 0x5C:
      put(byte: 0x5C)
      put(byte: byte)
    case 0x20..<0x7F:
      put(byte: byte)
    default:
      put("\\u00")
      put(byte: Self.hexDigit(byte >> 4))
      put(byte: Self.hexDigit(byte & 15))
    }
  }

  /// The content of a JSON string for a text of ours, which is UTF-8: only what must be is escaped.
  mutating func put(jsonText bytes: UnsafeRawBufferPointer) {
    assert(capacity - count >= bytes.count, "byte text: put without reserve")
    for byte in bytes {
      if byte >= 0x80 { put(byte: byte) } else { put(jsonByte: byte) }
    }
  }

  private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

  // MARK: With a reserve of its own

  /// A number as Prometheus reads it.
  mutating func append(_ value: Double) {
    reserve(32)
    if value.isNaN {
      put("NaN")
    } else if value.isInfinite {
      put(value < 0 ? "-Inf" : "+Inf")
    } else if let whole = Int64(exactly: value), whole.magnitude < 1 << 53 {
      if whole < 0 { put(byte: UInt8(ascii: "-")) }
      put(decimal: whole.magnitude)
    } else {
      var text = value.description
      text.withUTF8 { put(start: $0.baseAddress, count: $0.count) }
    }
  }
}
