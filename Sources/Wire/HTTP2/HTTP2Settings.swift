import Primitives

/// Bounds of one HTTP/2 connection. Each has a default that is safe on the open internet.
package struct HTTP2Settings: Sendable, Equatable {
  /// Streams that the peer may have open at once. Count. 128, as nginx; HAProxy has 100.
  package var streamLimit: UInt32
  /// What a peer may send on one stream before we have used any of it. Bytes. A prompt of 200 KB
  /// needs one round trip with it, and it is what one stream can make us keep.
  package var streamWindow: Int32
  /// The same for all streams together: what one connection can make us keep. Bytes.
  package var connectionWindow: Int32
  /// Bytes of one header list as RFC 9113, 6.5.2 counts them: 32 more for each field.
  package var headBytes: Int
  /// Fields of one header list. Count.
  package var fields: Int
  /// Streams that the peer resets, or makes us reset, before the connection ends. Count. They come
  /// back at `resetsPerSecond`. nghttp2's own numbers for CVE-2023-44487.
  package var resetBurst: Int
  package var resetsPerSecond: Int
  /// Frames that are legal and pointless: empty DATA, priorities. Count, and per second likewise.
  package var glitchBurst: Int
  package var glitchesPerSecond: Int

  package init(
    streamLimit: UInt32 = 128, streamWindow: Int32 = 256 * 1024,
    connectionWindow: Int32 = 8 << 20, headBytes: Int = 32 * 1024, fields: Int = 128,
    resetBurst: Int = 1_000, resetsPerSecond: Int = 33, glitchBurst: Int = 2_000,
    glitchesPerSecond: Int = 200
  ) {
    self.streamLimit = streamLimit
    self.streamWindow = streamWindow
    self.connectionWindow = connectionWindow
    self.headBytes = headBytes
    self.fields = fields
    self.resetBurst = resetBurst
    self.resetsPerSecond = resetsPerSecond
    self.glitchBurst = glitchBurst
    self.glitchesPerSecond = glitchesPerSecond
  }
}

/// Who opens the streams.
package enum HTTP2Role: Sendable {
  case server
  case client
}

/// Error codes of RFC 9113, 7, as far as we say them ourselves.
package enum HTTP2Error {
  package static var noError: UInt32 { 0 }
  package static var internalError: UInt32 { 2 }
  package static var settingsTimeout: UInt32 { 4 }
  package static var refusedStream: UInt32 { 7 }
  package static var cancel: UInt32 { 8 }
  package static var enhanceYourCalm: UInt32 { 11 }
}

/// The first bytes of every HTTP/2 connection of a client. RFC 9113, 3.4.
package let http2Preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
