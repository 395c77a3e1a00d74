/// The header by which a load balancer in front says whose connection this is: PROXY protocol,
/// versions 1 and 2, as HAProxy's specification describes it (2.2 and 2.3). Read strictly: it
/// decides whom we believe, and a header that is not quite one means that the peer is none of ours.
package enum ProxyProtocol {
  /// The client's address: two words, IPv4 in its mapped form.
  package struct Source: Sendable, Equatable {
    package let high: UInt64
    package let low: UInt64
    package let port: UInt16

    /// Calls with the canonical text; good during the call only.
    package func withText<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
      withUnsafeTemporaryAllocation(byteCount: IPAddress.textLimit, alignment: 1) { buffer in
        let count = IPAddress.write(high: high, low: low, to: buffer.baseAddress!)
        return body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
      }
    }
  }

  package enum Result: Equatable {
    /// Bytes of the header, and whom it names: nil when it names nobody, as for a health check of
    /// the load balancer itself.
    case complete(consumed: Int, source: Source?)
    case incomplete
    /// Close without a byte.
    case invalid
  }

  /// Longest header of version 1, line end included. Bytes, from the specification.
  private static let lineLimit = 107
  /// Longest header of version 2 that is accepted. Bytes. The specification allows 64 KiB; load
  /// balancers of clouds add a few hundred bytes of their own.
  private static let binaryLimit = 4_096

  /// Reads the header from the first byte of a connection.
  package static func parse(_ bytes: UnsafeRawBufferPointer) -> Result {
    guard let first = bytes.first else { return .incomplete }
    return first == ByteScan.cr ? parseBinary(bytes) : parseLine(bytes)
  }

  // MARK: Version 1

  private static func parseLine(_ bytes: UnsafeRawBufferPointer) -> Result {
    let start: StaticString = "PROXY "
    for index in 0..<min(bytes.count, start.utf8CodeUnitCount)
    where bytes[index] != start.utf8Start[index] {
      return .invalid
    }
    var end = start.utf8CodeUnitCount
    while end < bytes.count, bytes[end] != ByteScan.cr {
      // Printable bytes only, and room left for the line end.
      if bytes[end] < 0x20 || bytes[end] > 0x7e || end > lineLimit - 3 { return .invalid }
      end += 1
    }
    guard end + 1 < bytes.count else { return .incomplete }
    guard bytes[end + 1] == ByteScan.lf else { return .invalid }
    var words = Words(bytes: bytes, position: start.utf8CodeUnitCount, end: end)
    guard let family = words.next() else { return .invalid }
    if family.elementsEqual("UNKNOWN".utf8) {
      // What follows is to be ignored.
      return .complete(consumed: end + 2, source: nil)
    }
    let isIPv6 = family.elementsEqual("TCP6".utf8)
    guard isIPv6 || family.elementsEqual("TCP4".utf8),
      let source = words.next().flatMap({ address($0, isIPv6) }),
      words.next().flatMap({ address($0, isIPv6) }) != nil,
      let port = words.next().flatMap(port), words.next().flatMap(self.port) != nil, words.isAtEnd
    else { return .invalid }
    return .complete(
      consumed: end + 2, source: Source(high: source.high, low: source.low, port: port))
  }

  /// Words between single spaces.
  private struct Words {
    let bytes: UnsafeRawBufferPointer
    var position: Int
    let end: Int

    var isAtEnd: Bool { position > end }

    mutating func next() -> UnsafeRawBufferPointer? {
      guard position < end else { return nil }
      let start = position
      while position < end, bytes[position] != ByteScan.space { position += 1 }
      defer { position += 1 }
      return position > start ? UnsafeRawBufferPointer(rebasing: bytes[start..<position]) : nil
    }
  }

  private static func address(
    _ text: UnsafeRawBufferPointer, _ isIPv6: Bool
  ) -> (high: UInt64, low: UInt64)? {
    if isIPv6 { return IPAddress.parseIPv6(text) }
    return IPAddress.parseIPv4(text).map { (0, IPAddress.mapped($0)) }
  }

  /// 0 to 65535 without leading zeros.
  private static func port(_ text: UnsafeRawBufferPointer) -> UInt16? {
    guard text.count <= 5, text.count == 1 || text.first != 0x30 else { return nil }
    var port = 0
    for byte in text {
      guard ByteScan.isDigit(byte) else { return nil }
      port = port * 10 + Int(byte - 0x30)
    }
    return UInt16(exactly: port)
  }

  // MARK: Version 2

  private static func parseBinary(_ bytes: UnsafeRawBufferPointer) -> Result {
    let signature: StaticString = "\r\n\r\n\0\r\nQUIT\n"
    for index in 0..<min(bytes.count, 12) where bytes[index] != signature.utf8Start[index] {
      return .invalid
    }
    guard bytes.count >= 13 else { return .incomplete }
    let isLocal = bytes[12] == 0x20
    guard isLocal || bytes[12] == 0x21 else { return .invalid }
    guard bytes.count >= 16 else { return .incomplete }
    let length = Int(bytes[14]) << 8 | Int(bytes[15])
    let end = 16 + length
    guard end <= binaryLimit else { return .invalid }

    // Bytes that the addresses take; those of TLVs come behind them.
    let addressBytes: Int
    switch bytes[13] {
    case 0x00: addressBytes = 0
    case 0x11: addressBytes = 12
    case 0x21: addressBytes = 36
    case 0x31: addressBytes = 216
    default:
      // Datagrams cannot have come here; other families are not defined.
      guard isLocal else { return .invalid }
      addressBytes = 0
    }
    guard isLocal || length >= addressBytes else { return .invalid }
    guard bytes.count >= end else { return .incomplete }
    if isLocal || bytes[13] == 0x00 { return .complete(consumed: end, source: nil) }
    guard hasWholeExtras(bytes, from: 16 + addressBytes, to: end) else { return .invalid }

    func word(_ offset: Int, _ count: Int) -> UInt64 {
      var value: UInt64 = 0
      for index in offset..<(offset + count) { value = value << 8 | UInt64(bytes[index]) }
      return value
    }
    switch bytes[13] {
    case 0x11:
      let source = Source(
        high: 0, low: IPAddress.mapped(UInt32(word(16, 4))), port: UInt16(word(24, 2)))
      return .complete(consumed: end, source: source)
    case 0x21:
      let source = Source(high: word(16, 8), low: word(24, 8), port: UInt16(word(48, 2)))
      return .complete(consumed: end, source: source)
    default: return .complete(consumed: end, source: nil)
    }
  }

  /// Type, length and value, again and again, and nothing left over. What they say is not used.
  private static func hasWholeExtras(
    _ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int
  ) -> Bool {
    var position = start
    while position < end {
      guard position + 3 <= end else { return false }
      position += 3 + (Int(bytes[position + 1]) << 8 | Int(bytes[position + 2]))
    }
    return position == end
  }
}
