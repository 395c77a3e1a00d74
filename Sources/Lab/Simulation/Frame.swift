/// Frames of HTTP/2 as numbers. RFC 9113, 6.
enum Frame {
  static let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
  static let headBytes = 9
  /// What nobody has said that it takes more than. Bytes.
  static let sizeLimit = 16_384
  static let firstWindow = 65_535

  enum Kind: UInt8 {
    case data, headers, priority, resetStream, settings, pushPromise, ping, goAway, windowUpdate
    case continuation
  }

  enum Flag {
    static let endStream: UInt8 = 1
    static let acknowledged: UInt8 = 1
    static let endHeaders: UInt8 = 4
    static let padded: UInt8 = 8
    static let priority: UInt8 = 0x20
  }

  enum Setting {
    static let push = 2
    static let streamLimit = 3
    static let window = 4
    static let frameSize = 5
  }

  enum Code {
    static let none = 0
    static let protocolError = 1
    static let internalError = 2
    static let refused = 7
    static let cancel = 8
  }

  struct Head {
    var length = 0
    var kind: UInt8 = 0
    var flags: UInt8 = 0
    var stream = 0

    init() {}

    init(_ bytes: UnsafeRawBufferPointer) {
      length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
      kind = bytes[3]
      flags = bytes[4]
      stream = Frame.number(bytes, at: 5) & 0x7fff_ffff
    }

    func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
  }

  static func number(_ bytes: UnsafeRawBufferPointer, at place: Int) -> Int {
    Int(bytes[place]) << 24 | Int(bytes[place + 1]) << 16 | Int(bytes[place + 2]) << 8
      | Int(bytes[place + 3])
  }
}

extension ByteQueue {
  func append(frame kind: Frame.Kind, flags: UInt8 = 0, stream: Int = 0, count: Int) {
    append([
      UInt8(count >> 16 & 0xff), UInt8(count >> 8 & 0xff), UInt8(count & 0xff), kind.rawValue,
      flags,
    ])
    append(number: stream)
  }

  func append(
    frame kind: Frame.Kind, flags: UInt8 = 0, stream: Int = 0, _ payload: [UInt8]
  ) {
    append(frame: kind, flags: flags, stream: stream, count: payload.count)
    append(payload)
  }

  func append(number: Int) {
    append([
      UInt8(number >> 24 & 0xff), UInt8(number >> 16 & 0xff), UInt8(number >> 8 & 0xff),
      UInt8(number & 0xff),
    ])
  }

  func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }
}
