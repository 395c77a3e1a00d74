/// Where to listen or connect: an IP address and a port, or the path of a Unix socket.
///
/// Text in and text out, no resolver: names are the affair of whoever may ask one. What is printed
/// reads back as the same value.
package enum SocketAddress: Sendable, Hashable, CustomStringConvertible {
  /// Host order both: `127.0.0.1` is `0x7f00_0001`.
  case ipv4(UInt32, port: UInt16)
  /// The high and the low half of the address as numbers: `::1` is `(0, 1)`.
  case ipv6(UInt64, UInt64, port: UInt16)
  case unix(path: String)

  /// Bytes of a Unix socket's path. The kernel's `sun_path` has 108 with the final zero.
  package static let unixPathLimit = 107

  /// Reads `127.0.0.1:8080`, `[::1]:8080`, `*:8080`, `:8080` or `unix:/run/portico.sock`.
  ///
  /// `*` and nothing mean `0.0.0.0`, as nginx and HAProxy read them: that works on hosts without
  /// IPv6 too. Who wants both families writes `[::]:8080`, which Linux opens for IPv4 as well.
  package init?(_ text: String) {
    let bytes = Array(text.utf8)
    let scheme = Array("unix:".utf8)
    if bytes.starts(with: scheme) {
      let path = bytes[scheme.count...]
      guard path.first == 0x2f, path.count <= Self.unixPathLimit, !path.contains(0) else {
        return nil
      }
      self = .unix(path: String(decoding: path, as: UTF8.self))
      return
    }
    guard let colon = bytes.lastIndex(of: 0x3a),
      let port = Self.decimal(bytes[(colon + 1)...], upTo: UInt64(UInt16.max))
    else { return nil }
    self.init(host: bytes[..<colon], port: UInt16(port))
  }

  private init?(host: ArraySlice<UInt8>, port: UInt16) {
    if host.isEmpty || host.elementsEqual([0x2a]) {
      self = .ipv4(0, port: port)
    } else if host.first == 0x5b, host.last == 0x5d {
      guard let (high, low) = IPText.ipv6(host.dropFirst().dropLast()) else { return nil }
      self = .ipv6(high, low, port: port)
    } else {
      guard let address = IPText.ipv4(host) else { return nil }
      self = .ipv4(address, port: port)
    }
  }

  package var description: String {
    switch self {
    case .ipv4(let address, let port): "\(IPText.print(address)):\(port)"
    case .ipv6(let high, let low, let port): "[\(IPText.print(high, low))]:\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  /// Nil for a Unix socket.
  package var port: UInt16? {
    switch self {
    case .ipv4(_, let port), .ipv6(_, _, let port): port
    case .unix: nil
    }
  }

  /// The address without its port, as `X-Forwarded-For` carries it; `unix` for a Unix socket.
  package var host: String {
    switch self {
    case .ipv4(let address, _): IPText.print(address)
    case .ipv6(let high, let low, _): IPText.print(high, low)
    case .unix: "unix"
    }
  }

  /// Digits only, no sign, no leading zero beyond `0` itself.
  static func decimal(_ digits: ArraySlice<UInt8>, upTo limit: UInt64) -> UInt64? {
    guard !digits.isEmpty, digits.count <= 19, digits.count == 1 || digits.first != 0x30 else {
      return nil
    }
    var value: UInt64 = 0
    for digit in digits {
      guard (0x30...0x39).contains(digit) else { return nil }
      value = value * 10 + UInt64(digit - 0x30)
    }
    return value <= limit ? value : nil
  }
}

/// A block of addresses: `10.0.0.0/8`, `fd00::/8`, `127.0.0.1`.
package struct AddressBlock: Sendable, Hashable, CustomStringConvertible {
  /// High and low half of the address; IPv4 stands as its IPv6-mapped form.
  package var high: UInt64
  package var low: UInt64
  /// Leading bits that count, 0...128, of the mapped form.
  package var prefixBits: Int

  package init(high: UInt64, low: UInt64, prefixBits: Int) {
    self.high = high
    self.low = low
    self.prefixBits = prefixBits
  }

  /// What stands above an IPv4 address in the low half of its mapped form, `::ffff:0:0`.
  private static let mapped: UInt64 = 0xffff_0000_0000

  /// Reads an address with or without `/bits`. Bits beyond the prefix must be zero: `10.0.0.1/8`
  /// is more often a slip than a wish, so it is refused; `masked` says what was likely meant.
  package init?(_ text: String) {
    guard let block = Self.lenient(text), block == block.masked else { return nil }
    self = block
  }

  /// As `init`, but with bits beyond the prefix left as written.
  package static func lenient(_ text: String) -> AddressBlock? {
    let bytes = Array(text.utf8)
    let slash = bytes.firstIndex(of: 0x2f) ?? bytes.count
    let address = bytes[..<slash]
    let written =
      slash < bytes.count ? SocketAddress.decimal(bytes[(slash + 1)...], upTo: 128) : 128
    guard let written else { return nil }
    if let v4 = IPText.ipv4(address) {
      guard slash == bytes.count || written <= 32 else { return nil }
      let bits = slash == bytes.count ? 128 : 96 + Int(written)
      return AddressBlock(high: 0, low: mapped | UInt64(v4), prefixBits: bits)
    }
    guard let (high, low) = IPText.ipv6(address) else { return nil }
    return AddressBlock(high: high, low: low, prefixBits: Int(written))
  }

  /// The same block with every bit beyond the prefix cleared.
  package var masked: AddressBlock {
    AddressBlock(high: high & maskHigh, low: low & maskLow, prefixBits: prefixBits)
  }

  private var maskHigh: UInt64 {
    prefixBits >= 64 ? .max : prefixBits == 0 ? 0 : .max << UInt64(64 - prefixBits)
  }
  private var maskLow: UInt64 {
    prefixBits >= 128 ? .max : prefixBits <= 64 ? 0 : .max << UInt64(128 - prefixBits)
  }

  /// Whether the address lies inside. A Unix peer has no address and lies in no block.
  package func contains(_ address: SocketAddress) -> Bool {
    switch address {
    case .ipv4(let v4, _): contains(high: 0, low: Self.mapped | UInt64(v4))
    case .ipv6(let high, let low, _): contains(high: high, low: low)
    case .unix: false
    }
  }

  /// Whether an address lies inside that is given in halves, IPv4 in its mapped form.
  package func contains(high other: UInt64, low otherLow: UInt64) -> Bool {
    (high ^ other) & maskHigh == 0 && (low ^ otherLow) & maskLow == 0
  }

  package var description: String {
    if high == 0, low >> 32 == 0xffff, prefixBits >= 96 {
      let address = IPText.print(UInt32(truncatingIfNeeded: low))
      return prefixBits == 128 ? address : "\(address)/\(prefixBits - 96)"
    }
    let address = IPText.print(high, low)
    return prefixBits == 128 ? address : "\(address)/\(prefixBits)"
  }
}

/// IP addresses as text: RFC 4291 in, RFC 5952 out.
enum IPText {
  /// Four decimal numbers. No octal, no hexadecimal, no short forms: `010.1` means different things
  /// to different programs.
  static func ipv4(_ bytes: ArraySlice<UInt8>) -> UInt32? {
    let parts = bytes.split(separator: 0x2e, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var address: UInt32 = 0
    for part in parts {
      guard let value = SocketAddress.decimal(part, upTo: 255) else { return nil }
      address = address << 8 | UInt32(value)
    }
    return address
  }

  /// Eight groups, or fewer with one `::`; the last two may be written as IPv4. No zone.
  static func ipv6(_ bytes: ArraySlice<UInt8>) -> (UInt64, UInt64)? {
    var groups: [UInt16] = []
    /// Groups that stand before `::`.
    var gap: Int?
    var rest = bytes
    if rest.starts(with: [0x3a, 0x3a]) {
      gap = 0
      rest = rest.dropFirst(2)
    }
    while !rest.isEmpty {
      let end = rest.firstIndex(of: 0x3a) ?? rest.endIndex
      let group = rest[..<end]
      if end == rest.endIndex, group.contains(0x2e) {
        guard let v4 = ipv4(group) else { return nil }
        groups += [UInt16(v4 >> 16), UInt16(truncatingIfNeeded: v4)]
        break
      }
      guard let value = hexadecimal(group) else { return nil }
      groups.append(value)
      guard groups.count <= 8 else { return nil }
      guard end < rest.endIndex else { break }
      rest = rest[(end + 1)...]
      if rest.first == 0x3a {
        guard gap == nil else { return nil }
        gap = groups.count
        rest = rest.dropFirst()
      } else if rest.isEmpty {
        return nil
      }
    }
    if let gap {
      // RFC 4291: `::` stands for one or more groups.
      guard groups.count < 8 else { return nil }
      groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
    }
    guard groups.count == 8 else { return nil }
    let high = groups[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
    let low = groups[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
    return (high, low)
  }

  private static func hexadecimal(_ group: ArraySlice<UInt8>) -> UInt16? {
    guard (1...4).contains(group.count) else { return nil }
    var value: UInt16 = 0
    for byte in group {
      switch byte {
      case 0x30...0x39: value = value << 4 | UInt16(byte - 0x30)
      case 0x41...0x46, 0x61...0x66: value = value << 4 | UInt16((byte | 0x20) - 0x61 + 10)
      default: return nil
      }
    }
    return value
  }

  static func print(_ address: UInt32) -> String {
    "\(address >> 24).\(address >> 16 & 0xff).\(address >> 8 & 0xff).\(address & 0xff)"
  }

  /// Lower case, the first longest run of two or more zero groups shortened, IPv4-mapped addresses
  /// with their dots.
  static func print(_ high: UInt64, _ low: UInt64) -> String {
    if high == 0, low >> 32 == 0xffff {
      return "::ffff:\(print(UInt32(truncatingIfNeeded: low)))"
    }
    let groups = [high, low].flatMap { half in
      [48, 32, 16, 0].map { UInt16(truncatingIfNeeded: half >> UInt64($0)) }
    }
    var longest = 0..<0
    var start = 0
    for index in 0...8 where index == 8 || groups[index] != 0 {
      if index - start > max(longest.count, 1) { longest = start..<index }
      start = index + 1
    }
    func text(_ part: ArraySlice<UInt16>) -> String {
      part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    if longest.isEmpty { return text(groups[...]) }
    return text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
  }
}
