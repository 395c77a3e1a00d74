/// Strict reading and canonical writing of IP addresses in text.
///
/// Addresses are two words, the high and low half of the IPv6 form; IPv4 stands in its mapped form
/// (`::ffff:0:0/96`).
package enum IPAddress {
  /// High half of every mapped IPv4 address is zero; bits 32...47 of the low half are ones.
  static func mapped(_ ipv4: UInt32) -> UInt64 { 0xffff_0000_0000 | UInt64(ipv4) }

  /// An address as fields of a head carry it: no port, no zone, no brackets.
  package static func parse(_ text: UnsafeRawBufferPointer) -> (high: UInt64, low: UInt64)? {
    if let ipv4 = parseIPv4(text) { return (0, mapped(ipv4)) }
    return parseIPv6(text)
  }

  /// Dotted quad: four decimal numbers up to 255 without leading zeros, and nothing else.
  static func parseIPv4(_ text: UnsafeRawBufferPointer) -> UInt32? {
    guard text.count >= 7, text.count <= 15 else { return nil }
    var address: UInt32 = 0
    var parts = 0
    var digits = 0
    var part: UInt32 = 0
    for index in 0...text.count {
      let byte = index < text.count ? text[index] : 0x2e
      if byte == 0x2e {
        guard digits > 0, part <= 255, parts < 4 else { return nil }
        address = address << 8 | part
        parts += 1
        digits = 0
        part = 0
        continue
      }
      guard ByteScan.isDigit(byte), digits < 3, digits == 0 || part > 0 else { return nil }
      part = part * 10 + UInt32(byte - 0x30)
      digits += 1
    }
    return parts == 4 ? address : nil
  }

  /// RFC 4291, 2.2, with `::` and an embedded IPv4 address; no zone, no brackets.
  static func parseIPv6(_ text: UnsafeRawBufferPointer) -> (high: UInt64, low: UInt64)? {
    guard text.count >= 2, text.count <= 45 else { return nil }
    var groups = InlineArray<8, UInt16>(repeating: 0)
    var count = 0
    var gap = -1
    var position = 0
    if text[0] == ByteScan.colon {
      guard text[1] == ByteScan.colon else { return nil }
      gap = 0
      position = 2
    }
    while position < text.count {
      guard count < 8 else { return nil }
      let start = position
      var value: UInt32 = 0
      while position < text.count, ByteScan.hexValue(text[position]) <= 15 {
        guard position - start < 4 else { return nil }
        value = value << 4 | UInt32(ByteScan.hexValue(text[position]))
        position += 1
      }
      guard position > start else { return nil }
      if position < text.count, text[position] == 0x2e {
        guard count <= 6,
          let ipv4 = parseIPv4(UnsafeRawBufferPointer(rebasing: text[start...]))
        else { return nil }
        groups[count] = UInt16(ipv4 >> 16)
        groups[count + 1] = UInt16(ipv4 & 0xffff)
        count += 2
        position = text.count
        break
      }
      groups[count] = UInt16(value)
      count += 1
      if position == text.count { break }
      guard text[position] == ByteScan.colon else { return nil }
      position += 1
      guard position < text.count else { return nil }
      if text[position] == ByteScan.colon {
        guard gap < 0 else { return nil }
        gap = count
        position += 1
      }
    }
    if gap < 0 {
      guard count == 8 else { return nil }
    } else {
      guard count < 8 else { return nil }
      let moved = count - gap
      for index in 0..<moved {
        groups[7 - index] = groups[count - 1 - index]
      }
      for index in gap..<(8 - moved) { groups[index] = 0 }
    }
    var high: UInt64 = 0
    var low: UInt64 = 0
    for index in 0..<4 {
      high = high << 16 | UInt64(groups[index])
      low = low << 16 | UInt64(groups[index + 4])
    }
    return (high, low)
  }

  /// Longest text that `write` makes. Bytes.
  static let textLimit = 45

  /// Writes the address and returns the length: a mapped IPv4 address as dotted quad, others as
  /// RFC 5952 says (lower case, the longest run of zero groups shortened).
  static func write(high: UInt64, low: UInt64, to out: UnsafeMutableRawPointer) -> Int {
    var writer = TextWriter(out)
    if high == 0, low >> 32 == 0xffff {
      for part in 0..<4 {
        if part > 0 { writer.put(0x2e) }
        writer.put(decimal: low >> UInt64(24 - 8 * part) & 0xff)
      }
      return writer.count
    }
    func group(_ index: Int) -> UInt64 {
      (index < 4 ? high >> (48 - 16 * UInt64(index)) : low >> (48 - 16 * UInt64(index - 4)))
        & 0xffff
    }
    var best = (start: 9, count: 1)
    var index = 0
    while index < 8 {
      var run = 0
      while index + run < 8, group(index + run) == 0 { run += 1 }
      if run > best.count { best = (index, run) }
      index += max(run, 1)
    }
    index = 0
    while index < 8 {
      if index == best.start {
        writer.put(ByteScan.colon)
        writer.put(ByteScan.colon)
        index += best.count
        continue
      }
      if index > 0, index != best.start + best.count { writer.put(ByteScan.colon) }
      writer.put(hex: group(index))
      index += 1
    }
    return writer.count
  }
}
