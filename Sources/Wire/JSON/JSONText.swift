/// Writes JSON, one value after the other, into bytes of its own.
///
/// Commas are its own affair, so a caller cannot forget one. Names are constants of the program and
/// stand as they are; values are escaped. What it writes reads back through `JSONValue`.
package struct JSONText: ~Copyable {
  package private(set) var bytes: [UInt8] = []
  private var needsComma = false

  package init(capacity: Int = 256) { bytes.reserveCapacity(capacity) }

  // MARK: Members of an object

  package mutating func put(_ name: StaticString, _ value: String?) {
    key(name)
    self.value(value)
  }

  /// A constant text, without anything to escape.
  package mutating func put(_ name: StaticString, _ value: StaticString) {
    key(name)
    self.value(value)
  }

  package mutating func put(_ name: StaticString, _ value: Int?) {
    key(name)
    self.value(value)
  }

  package mutating func put(_ name: StaticString, _ value: Bool) {
    key(name)
    self.value(value)
  }

  package mutating func put(_ name: StaticString, _ value: Double?, places: Int) {
    key(name)
    self.value(value, places: places)
  }

  /// A member whose name is not the program's own.
  package mutating func put(named name: String, _ value: Double?, places: Int) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    Self.escape(name, into: &bytes)
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
    self.value(value, places: places)
  }

  package mutating func object(_ name: StaticString, _ body: (inout JSONText) -> Void) {
    key(name)
    object(body)
  }

  package mutating func array(_ name: StaticString, _ body: (inout JSONText) -> Void) {
    key(name)
    array(body)
  }

  // MARK: Values, alone or in an array

  package mutating func object(_ body: (inout JSONText) -> Void) {
    open(UInt8(ascii: "{"))
    body(&self)
    close(UInt8(ascii: "}"))
  }

  package mutating func array(_ body: (inout JSONText) -> Void) {
    open(UInt8(ascii: "["))
    body(&self)
    close(UInt8(ascii: "]"))
  }

  package mutating func value(_ text: String?) {
    guard let text else { return null() }
    separate()
    bytes.append(UInt8(ascii: "\""))
    Self.escape(text, into: &bytes)
    bytes.append(UInt8(ascii: "\""))
  }

  package mutating func value(_ text: StaticString) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    bytes += UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    bytes.append(UInt8(ascii: "\""))
  }

  package mutating func value(_ number: Int?) {
    guard let number else { return null() }
    separate()
    bytes += String(number).utf8
  }

  package mutating func value(_ flag: Bool) {
    separate()
    bytes += flag ? "true".utf8 : "false".utf8
  }

  /// A number with at most this many decimal places; what JSON cannot say (infinite, not a number)
  /// is null. Values of ours are far from the 2^53 beyond which places would be invented.
  package mutating func value(_ number: Double?, places: Int) {
    guard let number, number.isFinite else { return null() }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = (number * scale).rounded()
    guard abs(scaled) < 9e15 else {
      separate()
      bytes += number.description.utf8
      return
    }
    // Written as two integers: the description of a Double would switch to `1e-05`.
    separate()
    let whole = Int(abs(scaled))
    let unit = Int(scale)
    if scaled < 0 { bytes.append(UInt8(ascii: "-")) }
    bytes += String(whole / unit).utf8
    var fraction = whole % unit
    guard fraction > 0 else { return }
    var digits = places
    while fraction % 10 == 0 {
      fraction /= 10
      digits -= 1
    }
    let text = String(fraction)
    bytes.append(UInt8(ascii: "."))
    for _ in text.utf8.count..<digits { bytes.append(UInt8(ascii: "0")) }
    bytes += text.utf8
  }

  // MARK: Bytes

  private mutating func null() {
    separate()
    bytes += "null".utf8
  }

  private mutating func key(_ name: StaticString) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    bytes += UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
  }

  private mutating func separate() {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
    needsComma = true
  }

  private mutating func open(_ bracket: UInt8) {
    separate()
    bytes.append(bracket)
    needsComma = false
  }

  private mutating func close(_ bracket: UInt8) {
    bytes.append(bracket)
    needsComma = true
  }

  // MARK: Texts alone, for who writes the rest by hand

  /// The text as a JSON string, with its quotes.
  package static func quoted(_ text: String) -> String {
    var bytes: [UInt8] = [UInt8(ascii: "\"")]
    escape(text, into: &bytes)
    bytes.append(UInt8(ascii: "\""))
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Appends the text as it stands between the quotes of a JSON string.
  package static func escape(_ text: String, into bytes: inout [UInt8]) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0x0a: bytes += "\\n".utf8
      case 0x0d: bytes += "\\r".utf8
      case 0x09: bytes += "\\t".utf8
      case 0..<0x20, 0x7f:
        bytes += "\\u00".utf8
        for digit in [byte >> 4, byte & 15] { bytes.append(digit + (digit < 10 ? 0x30 : 0x57)) }
      default: bytes.append(byte)
      }
    }
  }
}
