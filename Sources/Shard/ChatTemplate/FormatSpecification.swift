import Glibc

/// How one value is laid out: the part of `{:>8.2f}` after the colon, and of `%-8.2f` after the
/// percent sign.
struct FormatSpecification {
  var fill = MarkedText(" ")
  /// `<`, `>`, `=` or `^`; by default texts lean left and numbers right.
  var alignment: UInt8?
  /// `+`, `-` or a space.
  var sign: UInt8 = UInt8(ascii: "-")
  var isAlternate = false
  var width = 0
  var grouping: UInt8?
  var precision: Int?
  /// The letter at the end.
  var type: UInt8?

  /// Nothing was specified.
  var isDefault = true

  init() {}

  /// Reads what stands between the colon and the brace; nil where it is no specification.
  init?(_ text: MarkedText) {
    var place = 0
    isDefault = text.isEmpty
    func peek(_ offset: Int = 0) -> UInt8? {
      place + offset < text.count ? text.bytes[place + offset] : nil
    }
    func isAlignment(_ byte: UInt8?) -> Bool { byte.map { "<>=^".utf8.contains($0) } ?? false }
    if !text.isEmpty {
      let next = text.scalar(at: 0).next
      if isAlignment(next < text.count ? text.bytes[next] : nil) {
        fill = text.part(0..<next)
        alignment = text.bytes[next]
        place = next + 1
      } else if isAlignment(peek()) {
        alignment = peek()
        place += 1
      }
    }
    if let byte = peek(), "+- ".utf8.contains(byte) {
      sign = byte
      place += 1
    }
    if peek() == UInt8(ascii: "#") {
      isAlternate = true
      place += 1
    }
    if peek() == UInt8(ascii: "0") {
      if alignment == nil {
        fill = MarkedText("0")
        alignment = UInt8(ascii: "=")
      }
      place += 1
    }
    func number() -> Int? {
      var value: Int?
      while let byte = peek(), (0x30...0x39).contains(byte) {
        // Clamped: what is beyond any text is refused when it is made.
        value = min((value ?? 0) * 10 + Int(byte - 0x30), 1 << 40)
        place += 1
      }
      return value
    }
    width = number() ?? 0
    if let byte = peek(), ",_".utf8.contains(byte) {
      grouping = byte
      place += 1
    }
    if peek() == UInt8(ascii: ".") {
      place += 1
      guard let digits = number() else { return nil }
      precision = digits
    }
    if let byte = peek() {
      type = byte
      place += 1
    }
    if place < text.count { return nil }
  }
}

/// A float with so many digits, in the form of C's `%e`, `%f` or `%g`.
func decimalText(of number: Double, precision: Int, form: UInt8, isAlternate: Bool = false)
  -> String
{
  // 309 digits before the point, and the fraction.
  let capacity = min(max(precision, 0), 1_000) + 400
  var buffer = [CChar](repeating: 0, count: capacity)
  let format = "%" + (isAlternate ? "#" : "") + ".*" + String(Unicode.Scalar(form))
  let written = withVaList([Int32(min(max(precision, 0), 1_000)), number]) { arguments in
    vsnprintf(&buffer, capacity, format, arguments)
  }
  let bytes = buffer[..<max(0, min(Int(written), capacity - 1))].map { UInt8(bitPattern: $0) }
  return String(decoding: bytes, as: UTF8.self)
}
