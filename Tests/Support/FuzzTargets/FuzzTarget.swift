/// One door through which bytes of strangers come in, as a function that takes any input at all.
///
/// The same functions run under libFuzzer (`Tests/Fuzz`) and, over the committed corpus and seeded
/// mutations of it, in `swift test`. To add one: a file beside this one with the function, a line in
/// `FuzzTarget.all`, the room among the dependencies of `FuzzTargets` in Package.swift, and a file of
/// seeds in `Tests/Fuzz/Corpus`.
package struct FuzzTarget: Sendable, CustomStringConvertible {
  /// Also the name of its corpus and its dictionary.
  package let name: String
  /// Takes one input, in memory of exactly its size. Throws when something does not hold that must
  /// hold for every input; a trap is as good.
  package let run: @Sendable (UnsafeRawBufferPointer) throws -> Void

  /// One input takes milliseconds: tests try fewer of them.
  package let isSlow: Bool

  package init(
    _ name: String, isSlow: Bool = false,
    _ run: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void
  ) {
    self.name = name
    self.isSlow = isSlow
    self.run = run
  }

  package var description: String { name }

  /// Every target, in the order in which they are run.
  package static let all: [FuzzTarget] = [
    FuzzTarget("request", checkRequest),
    FuzzTarget("response", checkResponse),
    FuzzTarget("chunks", checkChunks),
    FuzzTarget("body", checkBody),
    FuzzTarget("proxy-protocol", checkProxyProtocol),
    FuzzTarget("yaml", checkYAML),
    FuzzTarget("configuration", isSlow: true, checkConfiguration),
    FuzzTarget("json", checkJSON),
    FuzzTarget("request-scan", checkRequestScan),
    FuzzTarget("usage-scan", checkUsageScan),
    FuzzTarget("token", checkToken),
    FuzzTarget("claims", checkClaims),
    FuzzTarget("jwks", checkKeySet),
    FuzzTarget("tokenizer", checkTokenizer),
    FuzzTarget("text", checkEncoding),
    FuzzTarget("http2-server", isSlow: true, checkHTTP2Server),
    FuzzTarget("http2-client", isSlow: true, checkHTTP2Client),
    FuzzTarget("grpc", checkGRPC),
    FuzzTarget("protobuf", checkProtobuf),
    FuzzTarget("handshake", checkHandshake),
  ]
}

/// Something that must hold for every input did not.
package struct BrokenRule: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// Throws unless it holds.
func require(
  _ holds: Bool, _ rule: @autoclosure () -> String
) throws {
  if !holds { throw BrokenRule(rule()) }
}

/// Throws unless both are the same.
func require<Value: Equatable>(
  same a: Value, _ b: Value, _ rule: @autoclosure () -> String
) throws {
  if a != b { throw BrokenRule("\(rule()): \(a) and \(b)") }
}
