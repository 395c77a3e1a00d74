import Configuration
import Primitives
import ProxyCore
import TLS
import Telemetry

/// TLS between one socket and the core. Belongs to its loop; not Sendable on purpose.
///
/// A session takes all ciphertext that was read and gives all plaintext at once, which the core takes
/// in one event: so pausing needs no memory of bytes that were decrypted and not delivered. What a
/// session keeps back is the part of a record that has not come whole.
final class SecureLink {
  let session: TLSSession
  /// By host: what it asks of its clients. Empty for a backend.
  let boundaries: [Int32]
  /// The backend's name, for whoever reads why it was not believed.
  let peer: String
  /// Begin of a PROXY protocol header, which comes before TLS; nil where none is expected any more.
  var header: [UInt8]?
  /// The core has been told that the handshake is done.
  var isEstablished = false
  /// The core has been told that output waits. It is not before the handshake has ended.
  var hasSaidBlocked = false

  init(accepting listener: ListenerSecurity, awaitsHeader: Bool) {
    session = TLSSession(accepting: listener.context)
    boundaries = listener.boundaries
    peer = ""
    header = awaitsHeader ? [] : nil
  }

  init(connecting context: TLSClientContext, to name: String) {
    session = TLSSession(connecting: context, to: name)
    boundaries = []
    peer = name
  }
}

/// A listener's TLS on one loop. A reload makes another one; links keep what they began with.
final class ListenerSecurity {
  private(set) var plan: SecurityPlan.Listener
  let context: TLSServerContext
  var boundaries: [Int32] { plan.boundaries }

  init(_ plan: SecurityPlan.Listener) throws(TLSComplaint) {
    self.plan = plan
    context = try TLSServerContext(plan.material, ticketKeys: plan.ticketKeys)
  }

  /// Takes over a plan with the same files. False where it needs another context.
  func adopt(_ new: SecurityPlan.Listener) -> Bool {
    guard new.material == plan.material else { return false }
    if new.ticketKeys != plan.ticketKeys { context.ticketKeys = new.ticketKeys }
    plan = new
    return true
  }
}

/// What TLS needs besides settings: the contents of files and the keys of tickets. Made by the control
/// side, the same for all loops.
package struct SecurityPlan: Sendable {
  package struct Listener: Sendable, Equatable {
    package let material: TLSServerMaterial
    /// By host: the identity of what it asks of its clients (`SnapshotBuilder.boundary`).
    package let boundaries: [Int32]
    package let ticketKeys: TicketKeys

    package init(material: TLSServerMaterial, boundaries: [Int32], ticketKeys: TicketKeys) {
      self.material = material
      self.boundaries = boundaries
      self.ticketKeys = ticketKeys
    }
  }

  /// By listener identity.
  package var listeners: [Int: Listener] = [:]
  /// By pool identity.
  package var pools: [Int: TLSClientMaterial] = [:]

  package init() {}
}

extension Security {
  init(_ facts: TLSFacts, boundaries: [Int32]) {
    self.init(
      version: facts.version == .tls12 ? .tls12 : .tls13, isResumed: facts.isResumed,
      isHTTP2: facts.applicationProtocol == .http2,
      boundary: boundaries.indices.contains(facts.hostIndex)
        ? boundaries[facts.hostIndex] : Security.openToAll)
  }
}

extension HandshakeFailure {
  init(_ reason: TLSFailure.Reason) {
    switch reason {
    case .plaintextHTTP: self = .plaintextHTTP
    case .notTLS: self = .notTLS
    case .noCommonParameters: self = .noCommonParameters
    case .noCommonProtocol: self = .noCommonProtocol
    case .unknownServerName: self = .unknownServerName
    case .certificateMissing: self = .certificateMissing
    case .certificateInvalid: self = .certificateInvalid
    case .nameNotAllowed: self = .nameNotAllowed
    case .peerAlert: self = .peerAlert
    case .handshakeTooLarge: self = .handshakeTooLarge
    case .misuse: self = .misuse
    case .protocolError: self = .protocolError
    case .internalError: self = .internalError
    }
  }
}
