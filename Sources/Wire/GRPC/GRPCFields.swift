import Primitives

/// Values of gRPC's own header fields (`doc/PROTOCOL-HTTP2.md` of github.com/grpc/grpc).
package enum GRPCFields {
  /// Media types that are gRPC: `application/grpc`, with a `+format` or parameters behind it.
  /// grpc-web has a name that goes on with a hyphen, and is none.
  package static func isGRPC(contentType: some StringProtocol) -> Bool {
    let prefix = Array("application/grpc".utf8)
    let bytes = Array(contentType.utf8)
    guard bytes.count >= prefix.count,
      zip(bytes, prefix).allSatisfy({ lowercase($0) == $1 })
    else { return false }
    guard bytes.count > prefix.count else { return true }
    return [UInt8(ascii: "+"), UInt8(ascii: ";"), 0x20, 0x09].contains(bytes[prefix.count])
  }

  private static func lowercase(_ byte: UInt8) -> UInt8 {
    (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
  }

  // MARK: grpc-timeout

  /// Most digits that a timeout may have. Of the specification.
  package static let timeoutDigits = 8

  /// How long a call may take; nil for what is no timeout. Hours beyond what fits are as good as for
  /// ever: 99 999 999 h are 11 000 years, and 64 bits of nanoseconds end at 292.
  package static func timeout(_ text: some StringProtocol) -> TimeAmount? {
    let bytes = Array(text.utf8)
    guard (2...timeoutDigits + 1).contains(bytes.count), let unit = bytes.last else { return nil }
    let nanoseconds: Int64
    switch unit {
    case UInt8(ascii: "H"): nanoseconds = 3_600_000_000_000
    case UInt8(ascii: "M"): nanoseconds = 60_000_000_000
    case UInt8(ascii: "S"): nanoseconds = 1_000_000_000
    case UInt8(ascii: "m"): nanoseconds = 1_000_000
    case UInt8(ascii: "u"): nanoseconds = 1_000
    case UInt8(ascii: "n"): nanoseconds = 1
    default: return nil
    }
    var value: Int64 = 0
    for byte in bytes.dropLast() {
      guard (0x30...0x39).contains(byte) else { return nil }
      value = value * 10 + Int64(byte - 0x30)
    }
    let (amount, isMore) = value.multipliedReportingOverflow(by: nanoseconds)
    return TimeAmount(nanoseconds: isMore ? .max : amount)
  }

  /// The timeout in the finest unit that eight digits suffice for, rounded up so that nobody is cut
  /// short by the rounding. Times that are over already are `0n`.
  package static func timeoutText(_ timeout: TimeAmount) -> String {
    guard timeout.nanoseconds > 0 else { return "0n" }
    let units: [(Int64, String)] = [
      (1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M"),
    ]
    for (size, unit) in units {
      let (whole, rest) = timeout.nanoseconds.quotientAndRemainder(dividingBy: size)
      let value = whole + (rest > 0 ? 1 : 0)
      if value < 100_000_000 { return "\(value)\(unit)" }
    }
    return "\(timeout.nanoseconds / 3_600_000_000_000 + 1)H"
  }

  // MARK: grpc-message

  /// Bytes of a message that are sent. Peers limit their header lists, often to 8 KiB, and a status
  /// that is lost for its message's length helps nobody.
  package static let messageBytes = 1_024

  /// A message for `grpc-message`: what is not printable ASCII, and the percent sign, as `%XX` of its
  /// UTF-8. One that is too long is cut between two characters.
  package static func encode(message: String) -> String {
    var out: [UInt8] = []
    for character in message.unicodeScalars {
      var encoded: [UInt8] = []
      for byte in String(character).utf8 {
        if (0x20...0x7e).contains(byte), byte != UInt8(ascii: "%") {
          encoded.append(byte)
        } else {
          encoded += [UInt8(ascii: "%"), digit(byte >> 4), digit(byte & 15)]
        }
      }
      guard out.count + encoded.count <= messageBytes else { break }
      out += encoded
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func digit(_ value: UInt8) -> UInt8 { value + (value < 10 ? 0x30 : 0x37) }

  /// What a peer's `grpc-message` says. Percent signs without two digits stand for themselves, and
  /// what is no UTF-8 becomes U+FFFD: a message is never thrown away.
  package static func decode(message: some StringProtocol) -> String {
    let bytes = Array(message.utf8)
    var out: [UInt8] = []
    var place = 0
    while place < bytes.count {
      if bytes[place] == UInt8(ascii: "%"), place + 2 < bytes.count,
        let high = value(bytes[place + 1]), let low = value(bytes[place + 2])
      {
        out.append(high << 4 | low)
        place += 3
      } else {
        out.append(bytes[place])
        place += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x37
    case 0x61...0x66: digit - 0x57
    default: nil
    }
  }
}
