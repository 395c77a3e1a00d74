import COpenSSL
import Primitives

/// Where a session is.
package enum TLSState: Sendable, Hashable {
  case handshaking
  /// Data flows both ways.
  case established
  /// The peer has said close_notify: it sends no more, but may still read.
  case closedByPeer
  /// Over. What stands in the output (an alert) is still to be sent.
  case failed(TLSFailure)
}

/// What an input has brought.
package struct TLSReceived: Sendable, Hashable {
  /// Bytes put into the plaintext buffer.
  package var plaintextBytes: Int
  package var state: TLSState
  /// The handshake has ended well in this very call: `facts` can be read, and writing may begin.
  package var isJustEstablished: Bool
}

/// What a handshake has agreed on.
package struct TLSFacts: Sendable, Hashable {
  package var version: TLSVersion
  /// By its RFC name, as `TLS_AES_128_GCM_SHA256`.
  package var cipher: String
  /// Nil: ALPN was not used; HTTP/1.1 is spoken.
  package var applicationProtocol: ApplicationProtocol?
  /// What the client asked for (SNI), in lower case; for an upstream what we have sent.
  package var serverName: String?
  /// Index in the settings' hosts; 0 for an upstream.
  package var hostIndex: Int
  /// No full handshake was made.
  package var isResumed: Bool
  /// The name of a verified client: the allowed one, or the first DNS or URI name, or the common
  /// name. Printable and safe in a header field.
  package var clientName: String?
}

/// One TLS connection as an engine: ciphertext in, plaintext and facts out. No socket, no clock.
///
/// ```
/// handshaking -> established -> closedByPeer
///      |              |
///      +--------------+--> failed
/// ```
/// Whatever a call leaves in the output has to be sent, after a failure too (it is an alert then).
/// Lives and dies on its context's loop; not Sendable on purpose.
package final class TLSSession {
  /// By how much a plaintext buffer must be larger than the input: the part of a record that came
  /// earlier. Bytes: the largest record of RFC 8446 (2^14 + 256) and its header.
  package static let plaintextSlackBytes = 16_384 + 256 + 5

  package private(set) var state = TLSState.handshaking

  /// The server's side. Costs nothing until the first bytes come.
  package init(accepting context: TLSServerContext) {}

  /// The client's side.
  ///
  /// - Parameter host: the backend's host name or address, for SNI and the check of its certificate
  ///   unless the settings name another.
  package init(connecting context: TLSClientContext, to host: String) {}

  /// Begins a client's handshake. To be called once, when the connection is made.
  package func start(output: inout CipherBuffer) {}

  /// Takes the whole input, and puts what was in it into `plaintext`.
  ///
  /// - Parameter plaintext: at least `ciphertext.count + plaintextSlackBytes` long.
  package func receive(
    _ ciphertext: UnsafeRawBufferPointer, into plaintext: UnsafeMutableRawBufferPointer,
    output: inout CipherBuffer
  ) -> TLSReceived {
    TLSReceived(plaintextBytes: 0, state: state, isJustEstablished: false)
  }

  /// Seals one turn's plaintext: small pieces together in one record, large ones in records of
  /// 16 KiB.
  ///
  /// - Returns: false where nothing can be sent: before the handshake has ended and after a failure
  ///   or `close`.
  package func send(
    _ segments: ArraySlice<Gather.Segment>, output: inout CipherBuffer
  ) -> Bool { false }

  /// The same for one stretch of bytes.
  package func send(_ bytes: UnsafeRawBufferPointer, output: inout CipherBuffer) -> Bool { false }

  /// Says close_notify, once. Receiving goes on.
  package func close(output: inout CipherBuffer) {}

  /// The peer has said close_notify. When the connection ends without, it was cut: what came by then
  /// may be a part only.
  package var hasPeerClosed: Bool { state == .closedByPeer }

  /// Nil before the handshake has ended.
  package var facts: TLSFacts? { nil }
}
