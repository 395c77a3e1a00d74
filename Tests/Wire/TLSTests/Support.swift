import COpenSSL
import Glibc
import Primitives

@testable import TLS

/// A little public key infrastructure, made once for all tests: making RSA keys takes a while.
///
/// Read only after it was made, so it may be shared.
struct Village: @unchecked Sendable {
  static let shared = Village()

  let folder = Folder()
  let root = Forged.make("Village Root", isAuthority: true)
  let otherRoot = Forged.make("Other Root", isAuthority: true)
  let a: TLSCertificateFiles
  let aRSA: TLSCertificateFiles
  let b: TLSCertificateFiles
  let wild: TLSCertificateFiles
  let alice: TLSCertificateFiles
  let bob: TLSCertificateFiles
  let stranger: TLSCertificateFiles
  let authorities: String
  let otherAuthorities: String

  private init() {
    let (folder, root, otherRoot) = (folder, root, otherRoot)
    func files(_ name: String, _ forged: Forged) -> TLSCertificateFiles {
      TLSCertificateFiles(
        chain: folder.file("\(name).pem", forged.pem),
        key: folder.file("\(name).key", forged.keyPEM)
      )
    }
    a = files("a", .make("a.example", alternatives: "DNS:a.example,IP:127.0.0.1", by: root))
    aRSA = files("a-rsa", .make("a.example", .rsa2048, alternatives: "DNS:a.example", by: root))
    b = files("b", .make("b.example", alternatives: "DNS:b.example", by: root))
    wild = files("wild", .make("*.w.example", alternatives: "DNS:*.w.example", by: root))
    alice = files("alice", .make("", alternatives: "DNS:alice.clients.example", by: root))
    bob = files("bob", .make("bob", by: root))
    stranger = files("stranger", .make("alice.clients.example", by: otherRoot))
    authorities = folder.file("root.pem", root.pem)
    otherAuthorities = folder.file("other-root.pem", otherRoot.pem)
  }

  var serverSettings: TLSServerSettings {
    TLSServerSettings(hosts: [
      TLSHostSettings(names: ["a.example"], certificates: [a, aRSA]),
      TLSHostSettings(names: ["b.example"], certificates: [b]),
      TLSHostSettings(names: ["*.w.example"], certificates: [wild]),
    ])
  }

  var clientSettings: TLSClientSettings { TLSClientSettings(authorities: authorities) }
}

let village = Village.shared

/// The wall clock, for what is expired; tests may read it, the room may not.
func wallClock() -> Int64 { Int64(time(nil)) }

/// Loaded once: most tests want the plain village.
private let plainServer = Result<TLSServerMaterial, TLSComplaint> { () throws(TLSComplaint) in
  try TLSServerMaterial.load(village.serverSettings, now: wallClock())
}

func serverContext(keys: TicketKeys = .random()) throws -> TLSServerContext {
  try TLSServerContext(plainServer.get(), ticketKeys: keys)
}

func serverContext(
  _ settings: TLSServerSettings, keys: TicketKeys = .random()
) throws -> TLSServerContext {
  try TLSServerContext(.load(settings, now: wallClock()), ticketKeys: keys)
}

func clientContext(
  _ settings: TLSClientSettings = village.clientSettings
) throws -> TLSClientContext {
  try TLSClientContext(.load(settings, now: wallClock()))
}

/// One end of a connection in memory.
final class End {
  let session: TLSSession
  /// Ciphertext on its way to this end.
  var arriving: [UInt8] = []
  /// Plaintext that has come.
  var received: [UInt8] = []
  var justEstablished = 0
  var output = CipherBuffer()
  private let plaintext = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 1 << 20, alignment: 16)

  init(_ session: TLSSession) { self.session = session }
  deinit { plaintext.deallocate() }

  func receive(_ bytes: ArraySlice<UInt8>) {
    bytes.withUnsafeBytes { receive($0) }
  }

  func receive(_ bytes: UnsafeRawBufferPointer) {
    let got = session.receive(bytes, into: plaintext, output: &output)
    received += UnsafeRawBufferPointer(rebasing: plaintext[..<got.plaintextBytes])
    if got.isJustEstablished { justEstablished += 1 }
  }

  @discardableResult
  func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { session.send($0, output: &output) }
  }

  /// As one turn of a loop does it: segments that stand anywhere, apart from each other.
  @discardableResult
  func send(_ pieces: [[UInt8]]) -> Bool {
    var gather = Gather()
    let apart = pieces.map { piece in
      let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: piece.count + 1, alignment: 1)
      memory.copyBytes(from: piece)
      gather.append(UnsafeRawBufferPointer(rebasing: memory[..<piece.count]))
      return memory
    }
    defer { for memory in apart { memory.deallocate() } }
    let write = gather.cut()
    return session.send(gather.segments[write], output: &output)
  }

  func takeOutput() -> [UInt8] {
    let bytes = Array(output.bytes)
    output.removeAll()
    return bytes
  }

  var text: String { String(decoding: received, as: UTF8.self) }

  /// Common name of what the peer has shown.
  var peerName: String? {
    session.withSSL { ssl in
      SSL_get0_peer_certificate(ssl).flatMap {
        CertificateNames.commonName(X509_get_subject_name($0))
      }
    }
  }

  /// The OCSP response that came with the handshake.
  var stapled: [UInt8]? {
    session.withSSL { ssl in
      var bytes: UnsafePointer<UInt8>?
      let count = portico_ssl_status_response(ssl, &bytes)
      return count > 0 ? Array(UnsafeBufferPointer(start: bytes, count: count)) : nil
    }
  }
}

/// A client and a server with nothing but two queues between them.
final class Pair {
  let client: End
  let server: End

  init(_ client: TLSSession, _ server: TLSSession) {
    self.client = End(client)
    self.server = End(server)
    client.start(output: &self.client.output)
  }

  convenience init(
    _ client: TLSClientContext, _ server: TLSServerContext, to host: String = "a.example"
  ) {
    self.init(
      TLSSession(connecting: client, to: host), TLSSession(accepting: server))
  }

  /// Carries bytes until nothing moves. `cut` says how many of those waiting arrive at once.
  func carry(_ cut: (Int) -> Int = { $0 }) {
    while true {
      server.arriving += client.takeOutput()
      client.arriving += server.takeOutput()
      if server.arriving.isEmpty, client.arriving.isEmpty { return }
      for end in [server, client] where !end.arriving.isEmpty {
        let count = min(max(cut(end.arriving.count), 1), end.arriving.count)
        end.receive(end.arriving[..<count])
        end.arriving.removeFirst(count)
      }
    }
  }
}
