import Configuration
import Glibc
import SettingsFile

/// One file of settings, up to its tree: each complaint has a place within the file and is a line
/// that a person can read; the tree written out plainly is read back as the same tree.
func checkYAML(_ bytes: UnsafeRawBufferPointer) throws {
  let input = Array(bytes)
  guard let tree = try composed(input) else { return }
  let text = written(tree)
  guard let again = try composed(Array(text.utf8)) else {
    throw BrokenRule("written as \(text), which is refused")
  }
  try require(same: written(again), text, "written")
}

private func composed(_ bytes: [UInt8]) throws -> Node? {
  let source: SourceText
  switch SourceText.check(bytes, file: "f") {
  case .complaint(let complaint):
    try isUseful(complaint, bytes)
    return nil
  case .value(let text): source = text
  }
  var complaints = ComplaintList()
  // Few, so that inputs of a fuzzer's size reach the limit.
  let limit = 2_000
  var left = limit
  let result = Composer.compose(source, complaints: &complaints, nodesLeft: &left)
  for complaint in complaints.items { try isUseful(complaint, bytes) }
  try require(result.isComplete || !complaints.isEmpty, "stopped without a word")
  guard result.isComplete, complaints.isEmpty, let root = result.root else { return nil }
  try require(left >= 0 && root.weight <= limit, "weighs \(root.weight)")
  return root
}

private func isUseful(_ complaint: Complaint, _ bytes: [UInt8]) throws {
  // The end of a file without a line end is a place of its own.
  let lines = 2 + bytes.count { $0 == 0x0a || $0 == 0x0d }
  try require(
    (0...lines).contains(complaint.line), "line \(complaint.line) of \(lines): \(complaint)")
  try require(
    complaint.column >= 0 && complaint.column <= bytes.count + 1,
    "column \(complaint.column): \(complaint)")
  try isOneLine(complaint.description)
}

/// A complaint that cannot forge a line of a log.
func isOneLine(_ text: String) throws {
  for scalar in text.unicodeScalars {
    try require(
      scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value),
      "a complaint with a control character: \(spelled(text.utf8))")
  }
  try require(text.utf8.count < 2_000, "a complaint of \(text.utf8.count) bytes")
}

/// The tree in flow style, every scalar in quotes.
private func written(_ node: Node) -> String {
  switch node.content {
  case .scalar(let text, _): node.isNull ? "~" : quoted(text)
  case .list(let items): "[" + items.map(written).joined(separator: ", ") + "]"
  case .map(let entries):
    "{" + entries.map { "\(quoted($0.key)): \(written($0.value))" }.joined(separator: ", ") + "}"
  }
}

private func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case let c where c.value < 0x20 || (0x7f...0xa0).contains(c.value) || c.value >= 0x2000:
      let digits = String(c.value, radix: 16)
      result += "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}

/// A whole configuration, from the file to settings: refused with something to read, or printed and
/// read back as the same settings.
func checkConfiguration(_ bytes: UnsafeRawBufferPointer) throws {
  // Other files are not part of the input, and some of those that a name can lead to never end.
  guard !holds(bytes, "include") else { return }
  switch try loaded(Array(bytes)) {
  case .refused(let refused):
    try require(!refused.complaints.isEmpty, "refused without a word")
    for complaint in refused.complaints { try isUseful(complaint, Array(bytes)) }
  case .loaded(let first):
    for warning in first.warnings { try isUseful(warning, Array(bytes)) }
    let text = render(first.settings, showSecrets: true)
    guard case .loaded(let second) = try loaded(Array(text.utf8)) else {
      throw BrokenRule("printed as \(text), which is refused: \(try loaded(Array(text.utf8)))")
    }
    try require(second.settings == first.settings, "other settings after printing: \(text)")
    try require(
      same: render(second.settings, showSecrets: true), text, "printed a second time")
    // Without secrets it must stay a file that can be read, and keeps them to itself.
    _ = render(first.settings)
  }
}

private func loaded(_ bytes: [UInt8]) throws -> ConfigurationLoader.Result {
  // A pipe holds more than the largest input.
  var ends: [Int32] = [0, 0]
  guard pipe(&ends) == 0 else { throw BrokenRule("no pipe: \(errno)") }
  defer { close(ends[0]) }
  let count = bytes.isEmpty ? 0 : write(ends[1], bytes, bytes.count)
  close(ends[1])
  guard count == bytes.count else { throw BrokenRule("wrote \(count) of \(bytes.count) bytes") }
  let loader = ConfigurationLoader { host in
    switch host.utf8.count % 4 {
    case 0: .addresses([.ipv4(0x0a00_0001, port: 0), .ipv4(0x0a00_0002, port: 0)])
    case 1: .addresses([.ipv6(0xfd00 << 48, 1, port: 0)])
    case 2: .unknown("Name or service not known")
    default: .unreachable("Temporary failure in name resolution")
    }
  }
  return loader.load(
    path: "/proc/self/fd/\(ends[0])", environment: ["HOST": "127.0.0.1", "EMPTY": ""])
}

private func holds(_ bytes: UnsafeRawBufferPointer, _ text: String) -> Bool {
  var rest = bytes[...]
  while !rest.isEmpty {
    if rest.starts(with: text.utf8) { return true }
    rest = rest.dropFirst()
  }
  return false
}
