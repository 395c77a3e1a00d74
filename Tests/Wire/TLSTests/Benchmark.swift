import COpenSSL
import Glibc
import Primitives
import Testing

@testable import TLS

/// What a connection and a request cost on the server's side. Not part of a test run: it measures,
/// and judges memory alone.
///
/// ```
/// PORTICO_BENCH=1 swift test -c release -Xswiftc -enable-testing --filter TLSTests.Benchmark
/// ```
@Suite(.serialized, .enabled(if: getenv("PORTICO_BENCH") != nil)) struct Benchmark {
  /// Of this thread, nanoseconds: neighbours do not count.
  private func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  private func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, 256, file) != nil else { return 0 }
    let words = String(
      decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self
    )
    .split(separator: " ")
    return Int(words[1])! * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// Best of many rounds, nanoseconds per call.
  private func best(rounds: Int, calls: Int, _ round: (Int) -> Int64) -> Double {
    (0..<rounds).map { _ in Double(round(calls)) / Double(calls) }.min()!
  }

  /// The yardstick: what OpenSSL's own primitives cost on this machine now. A full handshake cannot
  /// be cheaper than one signature, one key made and one shared secret.
  private func primitives() -> Double {
    let forged = Forged.make("x")
    let key = forged.key
    var digest = [UInt8](repeating: 7, count: 32)
    var signature = [UInt8](repeating: 0, count: 80)
    let sign = best(rounds: 20, calls: 200) { calls in
      let context = EVP_PKEY_CTX_new(key, nil)
      EVP_PKEY_sign_init(context)
      let start = now()
      for _ in 0..<calls {
        var count = 80
        digest[0] &+= 1
        EVP_PKEY_sign(context, &signature, &count, digest, 32)
      }
      let spent = now() - start
      EVP_PKEY_CTX_free(context)
      return spent
    }
    withExtendedLifetime(forged) {}
    let exchange = best(rounds: 20, calls: 200) { calls in
      let start = now()
      for _ in 0..<calls {
        let make = EVP_PKEY_CTX_new_id(EVP_PKEY_X25519, nil)
        var own: OpaquePointer?
        EVP_PKEY_keygen_init(make)
        EVP_PKEY_keygen(make, &own)
        EVP_PKEY_CTX_free(make)
        let derive = EVP_PKEY_CTX_new(own, nil)
        EVP_PKEY_derive_init(derive)
        EVP_PKEY_derive_set_peer(derive, own)
        var secret = [UInt8](repeating: 0, count: 32)
        var count = 32
        EVP_PKEY_derive(derive, &secret, &count)
        EVP_PKEY_CTX_free(derive)
        EVP_PKEY_free(own)
      }
      return now() - start
    }
    print(
      "P-256 signature \(Int(sign / 100) / 10) us, X25519 pair and secret \(Int(exchange / 100) / 10) us"
    )
    return sign + exchange
  }

  @Test(arguments: [TLSVersion.tls12, .tls13]) func handshakes(version: TLSVersion) throws {
    _ = primitives()
    var settings = village.clientSettings
    settings.maximumVersion = version
    settings.verifies = false
    let server = try serverContext()
    for isResumed in [false, true] {
      // A client that keeps no sessions makes full handshakes only.
      let client = try clientContext(settings)
      if !isResumed {
        portico_ssl_ctx_set_session_cache_mode(client.pointer, Int(SSL_SESS_CACHE_OFF))
      }
      Pair(client, server).carry()
      let cost = best(rounds: 15, calls: 100) { calls in
        var spent: Int64 = 0
        for _ in 0..<calls {
          let pair = Pair(client, server)
          while pair.server.session.state == .handshaking {
            let hello = pair.client.takeOutput()
            let start = now()
            pair.server.receive(hello[...])
            spent += now() - start
            pair.client.receive(pair.server.takeOutput()[...])
          }
          #expect(pair.server.session.facts?.isResumed == isResumed)
          pair.client.receive(pair.server.takeOutput()[...])
        }
        return spent
      }
      print(
        "\(version) \(isResumed ? "resumed" : "full") handshake: \(Int(cost / 100) / 10) us, "
          + "\(Int(1e9 / cost)) per core-second")
    }
  }

  /// A request of 250 bytes and its answer of 300 in three pieces, as a small chat is.
  @Test(arguments: [TLSVersion.tls12, .tls13]) func requests(version: TLSVersion) throws {
    var settings = village.clientSettings
    settings.maximumVersion = version
    let pair = Pair(try clientContext(settings), try serverContext())
    pair.carry()
    let request = [UInt8](repeating: 65, count: 250)
    let server = pair.server.session
    let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { plaintext.deallocate() }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1_024, alignment: 16)
    memory.initializeMemory(as: UInt8.self, repeating: 66)
    defer { memory.deallocate() }
    var gather = Gather()
    for (start, count) in [(0, 150), (200, 50), (300, 100)] {
      gather.append(UnsafeRawBufferPointer(rebasing: memory[start..<(start + count)]))
    }
    let write = gather.cut()
    var output = CipherBuffer()
    var receiving = 0.0
    var sending = 0.0
    receiving = best(rounds: 30, calls: 1_000) { calls in
      var records: [[UInt8]] = []
      for _ in 0..<calls {
        pair.client.send(request)
        records.append(pair.client.takeOutput())
      }
      let start = now()
      for record in records {
        record.withUnsafeBytes {
          precondition(
            server.receive($0, into: plaintext, output: &output).plaintextBytes == 250)
        }
      }
      return now() - start
    }
    sending = best(rounds: 30, calls: 1_000) { calls in
      let start = now()
      for _ in 0..<calls {
        output.removeAll()
        precondition(server.send(gather.segments[write], output: &output))
      }
      return now() - start
    }
    print("\(version) request \(Int(receiving)) ns, answer \(Int(sending)) ns")
    let large = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { large.deallocate() }
    large.initializeMemory(as: UInt8.self, repeating: 67)
    let sealing = best(rounds: 30, calls: 100) { calls in
      let start = now()
      for _ in 0..<calls {
        output.removeAll()
        precondition(server.send(UnsafeRawBufferPointer(large), output: &output))
      }
      return now() - start
    }
    print("\(version) 64 KB answer \(Int(sealing)) ns")
  }

  /// What an idle session keeps, after a request and an answer. The door's bound for a whole
  /// connection is 40 KB; OpenSSL's two buffers alone would be 34 if they were not given back.
  @Test(arguments: [TLSVersion.tls12, .tls13], [false, true])
  func idleSessions(version: TLSVersion, isMutual: Bool) throws {
    var settings = village.clientSettings
    settings.maximumVersion = version
    var serverSettings = village.serverSettings
    if isMutual {
      settings.certificate = village.alice
      serverSettings.clientAuthentication = TLSClientAuthentication(
        mode: .require, authorities: village.authorities)
    }
    let (client, server) = (try clientContext(settings), try serverContext(serverSettings))
    var kept: [TLSSession] = []
    func add(_ count: Int) {
      for _ in 0..<count {
        let pair = Pair(client, server)
        pair.carry()
        pair.client.send("hello")
        pair.server.send("hello")
        pair.carry()
        precondition(pair.server.text == "hello")
        kept.append(pair.server.session)
      }
    }
    add(200)
    let before = residentBytes()
    add(2_000)
    let each = (residentBytes() - before) / 2_000
    print("\(version)\(isMutual ? " with client certificate" : ""): \(each) bytes a session")
    #expect(each < 24_576)
  }

  /// What a loop pays for building its contexts: at start, and for each reload.
  @Test func contexts() throws {
    let material = try TLSServerMaterial.load(village.serverSettings, now: wallClock())
    let before = residentBytes()
    var all: [TLSServerContext] = []
    let start = now()
    for _ in 0..<20 { all.append(try TLSServerContext(material, ticketKeys: .random())) }
    let spent = (now() - start) / 20
    print(
      "context of \(material.hosts.count) hosts: \(spent / 1_000) us, "
        + "\((residentBytes() - before) / 20_000) KB")
  }
}
