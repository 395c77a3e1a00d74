/// Bytes of a fuzzer as a story in frames, most of them valid: random bytes would hardly ever get
/// behind the first header block.
struct HTTP2Script {
  private var rest: UnsafeRawBufferPointer.SubSequence
  private var lastStream = -1
  private(set) var wire: [UInt8] = []

  /// Fields that a peer may send, honest ones and others. The numbers are the fuzzer's to choose.
  static let fields: [(String, String)] = [
    (":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a"),
    (":method", "POST"), (":status", "200"), (":status", "103"), (":status", "204"),
    (":method", "HEAD"), (":method", "CONNECT"), (":path", "*"), (":path", ""),
    (":path", "/ HTTP/1.1\r\nX: y"), (":path", "//a/../b"), (":path", "/a\u{0}b"), (":path", "x"),
    (":authority", "u@a"), (":authority", "a\r\nb: c"), (":authority", "B:80"),
    (":protocol", "websocket"), (":status", "2 0"), (":status", "999"), (":odd", "x"),
    ("host", "a"), ("host", "b"), ("content-length", "5"), ("content-length", "0"),
    ("content-length", "+5"), ("content-length", "05"), ("transfer-encoding", "chunked"),
    ("connection", "close"), ("upgrade", "h2c"), ("te", "trailers"), ("te", "gzip"),
    ("cookie", "a=1"), ("cookie", "b=2"), ("x", "b\r\ntransfer-encoding: chunked"),
    ("x", "a\u{0}b"), ("x:y", "z"), ("X-Upper", "v"), ("a\r\nb", "c"), ("", "empty"), ("x", " v "),
    ("keep-alive", "1"), ("proxy-connection", "x"), ("content-type", "application/grpc"),
    ("content-type", "text/event-stream"), ("grpc-timeout", "1S"), ("grpc-status", "0"),
    ("expect", "100-continue"), ("content_length", "5"), ("x-forwarded-for", "1.2.3.4"),
    ("x-long", String(repeating: "y", count: 300)), ("trailer", "x"), ("x", ""), ("x", "\u{ff}"),
    ("priority", "u=1"), (":scheme", "ftp"), (":method", "G T"), ("http2-settings", "AA"),
  ]

  /// - Parameter isClient: who speaks: a client (to our server) or a server (to our client).
  init(_ bytes: UnsafeRawBufferPointer.SubSequence, isClient: Bool) {
    rest = bytes
    let opening = next()
    if isClient, opening != 7 { wire += "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8 }
    if opening != 6 { frame(4, 0, 0, []) }
    var steps = 0
    while !rest.isEmpty, steps < 200 {
      step(isClient)
      steps += 1
    }
  }

  private mutating func next() -> UInt8 { rest.popFirst() ?? 0 }

  private mutating func take(_ count: Int) -> [UInt8] {
    let taken = Array(rest.prefix(count))
    rest = rest.dropFirst(count)
    return taken
  }

  private mutating func step(_ isClient: Bool) {
    let kind = next()
    switch kind & 15 {
    case 0: headers(stream(isClient), block(Int(next() & 15)), ends: kind & 16 != 0)
    case 1:
      let stream = stream(isClient)
      let block = block(Int(next() & 15))
      let cut = min(block.count, Int(next()))
      frame(1, kind & 16 != 0 ? 1 : 0, stream, Array(block[..<cut]))
      frame(9, 4, stream, Array(block[cut...]))
    case 2:
      let stream = stream(isClient)
      let length = Int(next())
      if kind & 32 != 0 {
        let padding = Int(next() & 31)
        frame(
          0, 8 | (kind >> 4 & 1), stream,
          [UInt8(padding)] + Array(repeating: 0x78, count: length)
            + Array(repeating: 0, count: padding))
      } else {
        frame(0, kind >> 4 & 1, stream, Array(repeating: 0x78, count: length))
      }
    case 3: frame(3, 0, stream(isClient), number(UInt32(next() & 15)))
    case 4:
      let increments: [UInt32] = [0, 1, 100, 65_535, 0x7fff_ffff, 0x8000_0001]
      let increment = increments[Int(next()) % increments.count]
      frame(8, 0, kind & 16 != 0 ? 0 : stream(isClient), number(increment))
    case 5:
      let values: [UInt32] = [0, 1, 100, 65_535, 16_384, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
      var entries: [UInt8] = []
      for _ in 0..<(next() & 3) {
        entries += [0, next() & 15] + number(values[Int(next()) % values.count])
      }
      frame(4, 0, 0, entries)
    case 6: frame(6, kind >> 4 & 1, 0, [1, 2, 3, 4, 5, 6, 7, 8])
    case 7: frame(7, 0, 0, number(UInt32(next())) + number(UInt32(next() & 15)))
    case 8: frame(2, 0, stream(isClient), number(UInt32(next())) + [next()])
    case 9: frame(9, kind >> 4 & 4, stream(isClient), block(Int(next() & 3)))
    case 10: wire += take(Int(next() & 63))
    case 11:
      let (type, flags, length) = (next(), next(), Int(next() & 63))
      frame(type, flags, Int(next()), take(length))
    case 12: headers(stream(isClient), field(Int(next())), ends: true)
    case 13: frame(4, 1, 0, [])
    case 14:
      lastStream += 2
      headers(
        lastStream, isClient ? [0x82, 0x84, 0x86] + literal(":authority", "a") : [0x88],
        ends: kind & 16 != 0)
    default:
      lastStream += 2
      let length = Int(next())
      let start: [UInt8] =
        isClient ? [0x83, 0x84, 0x86] + literal(":authority", "a") : [0x88]
      headers(lastStream, start + literal("content-length", "\(length)"), ends: false)
      frame(0, 1, lastStream, Array(repeating: 0x79, count: length))
    }
  }

  /// A new one, or one of those that were opened before.
  private mutating func stream(_ isClient: Bool) -> Int {
    let choice = Int(next())
    if choice & 3 == 0 {
      lastStream += 2
      return lastStream
    }
    if choice == 255 { return 0 }
    return choice & 64 != 0 ? choice >> 1 & 14 : 1 + (choice >> 2 & 15) * 2
  }

  private mutating func block(_ count: Int) -> [UInt8] {
    var block: [UInt8] = []
    for _ in 0..<count { block += field(Int(next())) }
    return block
  }

  /// A field, by a number that says which, or a form of HPACK's own.
  private mutating func field(_ choice: Int) -> [UInt8] {
    if choice < Self.fields.count { return literal(Self.fields[choice].0, Self.fields[choice].1) }
    switch choice & 3 {
    case 0: return [0x80 | next() & 0x7f]  // Indexed.
    case 1: return [0x20 | next() & 0x1f]  // Table size.
    case 2:
      let (name, value) = Self.fields[Int(next()) % Self.fields.count]
      return [0x40] + literal(name, value).dropFirst()  // Kept in the table.
    default: return take(Int(next() & 15))
    }
  }

  private func literal(_ name: String, _ value: String) -> [UInt8] {
    [0] + string(name) + string(value)
  }

  /// Characters below U+0100 as a byte each.
  private func string(_ text: String) -> [UInt8] {
    let bytes = text.unicodeScalars.map { UInt8($0.value) }
    if bytes.count < 127 { return [UInt8(bytes.count)] + bytes }
    var left = bytes.count - 127
    var prefix: [UInt8] = [127]
    while left >= 128 {
      prefix.append(UInt8(left & 127 | 128))
      left >>= 7
    }
    return prefix + [UInt8(left)] + bytes
  }

  private mutating func headers(_ stream: Int, _ block: [UInt8], ends: Bool) {
    frame(1, 4 | (ends ? 1 : 0), stream, block)
  }

  private func number(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  private mutating func frame(_ type: UInt8, _ flags: UInt8, _ stream: Int, _ payload: [UInt8]) {
    wire += number(UInt32(payload.count)).dropFirst() + [type, flags]
    wire += number(UInt32(truncatingIfNeeded: stream)) + payload
  }
}
