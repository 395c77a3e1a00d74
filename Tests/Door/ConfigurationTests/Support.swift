import Glibc

@testable import Configuration
@testable import SettingsFile

/// The repository's root, from where this file stands.
let repository = #filePath.split(separator: "/").dropLast(4).reduce("") { $0 + "/" + $1 }

/// Names that exist in tests: no test asks a name server.
func testAnswers(_ host: String) -> Resolver.Answer {
  switch host {
  case "gpu1": .addresses([.ipv4(0x0a00_0001, port: 0)])
  case "gpus":
    .addresses([
      .ipv6(1, 1, port: 0), .ipv4(0x0a00_0009, port: 0), .ipv4(0x0a00_0002, port: 0),
    ])
  case "six": .addresses([.ipv6(0xfd00 << 48, 2, port: 0), .ipv6(0xfd00 << 48, 1, port: 0)])
  case "slow": .unreachable("Temporary failure in name resolution")
  default: .unknown("Name or service not known")
  }
}

let testEnvironment = [
  "HOST": "127.0.0.1", "PORT": "9001", "EMPTY": "", "TOKEN": "a-long-secret", "LOG": "off",
]

/// A directory of its own that is removed at the end.
final class Folder {
  let path: String

  init() {
    var template = Array("/tmp/portico-configuration-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit {
    for name in names.reversed() {
      if unlink("\(path)/\(name)") != 0 { rmdir("\(path)/\(name)") }
    }
    rmdir(path)
  }

  private var names: [String] = []

  @discardableResult func write(_ name: String, _ bytes: [UInt8]) -> String {
    if let slash = name.lastIndex(of: "/") {
      let parent = String(name[..<slash])
      if mkdir("\(path)/\(parent)", 0o755) == 0 { names.append(parent) }
    }
    if !names.contains(name) { names.append(name) }
    let file = fopen("\(path)/\(name)", "w")!
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
    return "\(path)/\(name)"
  }

  func load(_ name: String) -> ConfigurationLoader.Result {
    ConfigurationLoader(resolve: testAnswers).load(
      path: "\(path)/\(name)", environment: testEnvironment)
  }
}

/// Loads one file with these bytes.
func load(_ bytes: [UInt8]) -> ConfigurationLoader.Result {
  let folder = Folder()
  folder.write("portico.yaml", bytes)
  return folder.load("portico.yaml")
}

func load(_ text: String) -> ConfigurationLoader.Result { load(Array(text.utf8)) }

extension ConfigurationLoader.Result {
  var loaded: ConfigurationLoader.Loaded? {
    if case .loaded(let loaded) = self { loaded } else { nil }
  }

  /// Every complaint and warning, one a line, without the directory.
  var lines: [String] {
    switch self {
    case .refused(let refused):
      refused.description.split(separator: "\n").map(Self.relative)
    case .loaded(let loaded): loaded.warnings.map { "warning: " + Self.relative("\($0)") }
    }
  }

  private static func relative(_ line: some StringProtocol) -> String {
    guard line.hasPrefix("/"), let end = line.firstIndex(of: ":"),
      let slash = line[..<end].lastIndex(of: "/")
    else { return String(line) }
    return String(line[line.index(after: slash)...])
  }
}

func text(of path: String) -> String {
  if case .bytes(let bytes) = SourceText.contents(path) {
    String(decoding: bytes, as: UTF8.self)
  } else {
    ""
  }
}
