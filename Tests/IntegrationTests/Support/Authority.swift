import Glibc
import Testing

/// A certificate authority of one story's own, made with the openssl command.
final class Authority {
  let folder: Folder
  let name: String

  struct Pair {
    let certificate: String
    let key: String
  }

  enum Kind {
    case p256
    case rsa
  }

  init(_ folder: Folder, name: String = "ca") throws {
    self.folder = folder
    self.name = name
    try run(
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
      "-keyout", folder["\(name).key"], "-out", folder["\(name).pem"], "-subj", "/CN=Story \(name)",
      "-days", "30")
  }

  var certificate: String { folder["\(name).pem"] }

  /// A certificate and its key, in files of this name.
  ///
  /// - Parameters:
  ///   - names: as OpenSSL writes them, such as `DNS:a.example,IP:127.0.0.1`.
  ///   - days: until it ends; negative: since it has ended.
  @discardableResult
  func issue(
    _ file: String, _ names: String, days: Int = 30, kind: Kind = .p256
  ) throws -> Pair {
    let pair = Pair(certificate: folder["\(file).pem"], key: folder["\(file).key"])
    let algorithm =
      switch kind {
      case .p256: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
      case .rsa: ["rsa:2048"]
      }
    let request = folder["\(file).csr"]
    try run(
      ["openssl", "req", "-newkey"] + algorithm
        + ["-nodes", "-keyout", pair.key, "-out", request, "-subj", "/CN=\(file)"])
    folder.write("\(file).ext", "subjectAltName=\(names)\n")
    try run(
      "openssl", "x509", "-req", "-in", request, "-CA", certificate, "-CAkey",
      folder["\(name).key"], "-set_serial", "\(UInt32.random(in: 1...(.max)))", "-days", "\(days)",
      "-extfile", folder["\(file).ext"], "-out", pair.certificate)
    return pair
  }

  /// An OCSP response that says of a certificate that it is good.
  func vouch(for pair: Pair, in file: String) throws -> String {
    let serial = try run("openssl", "x509", "-in", pair.certificate, "-noout", "-serial")
      .split(separator: "\n").last?.split(separator: "=").last.map(String.init)
    folder.write("index", "V\t401231235959Z\t\t\(try #require(serial))\tunknown\t/CN=story\n")
    try run(
      "openssl", "ocsp", "-issuer", certificate, "-cert", pair.certificate, "-reqout",
      folder["request.der"])
    try run(
      "openssl", "ocsp", "-index", folder["index"], "-CA", certificate, "-rsigner", certificate,
      "-rkey", folder["\(name).key"], "-reqin", folder["request.der"], "-respout", folder[file],
      "-ndays", "7")
    return folder[file]
  }

  /// Runs a command to its good end and returns what it wrote.
  @discardableResult
  func run(_ words: String...) throws -> String { try run(words) }

  @discardableResult
  func run(_ words: [String]) throws -> String {
    let (ending, output) = try Self.run(words, in: folder)
    guard ending == .exited(0) else { throw Failed(command: words, output: output) }
    return output
  }

  static func run(
    _ words: [String], in folder: Folder, environment: [String: String] = [:], within: Double = 30
  ) throws -> (ending: ChildProcess.Ending, output: String) {
    let file = folder["words-\(UInt32.random(in: 0...(.max)))"]
    defer { unlink(file) }
    let process = try ChildProcess(words, output: file, environment: environment)
    return (try process.waitForEnd(within: within), process.output)
  }

  struct Failed: Error {
    let command: [String]
    let output: String
  }
}
