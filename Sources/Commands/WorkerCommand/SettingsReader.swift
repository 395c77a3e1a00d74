import SettingsFile
import Terminal

/// A worker's settings from a file and from flags, by one schema: what a flag says counts over what
/// the file says, and both are refused in the same words.
enum SettingsReader {
  struct Refused: Error {
    let lines: String
  }

  static func read<Root>(
    _ keys: Keys<Root>, into root: inout Root, _ options: inout Options
  ) throws(Options.Misuse) -> Refused? {
    var reader = Reader(
      environment: Console.environment, resolver: Resolver(), complaints: ComplaintList())
    let path = try options.value("-c", "--config")
    var files: [String] = []
    var isGiven = Set<String>()
    if let path {
      files.append(path)
      if let entries = entries(of: path, &reader) {
        isGiven.formUnion(entries.map(\.key))
        keys.read(entries, into: &root, &reader)
      }
    }
    for field in keys.fields {
      let flag = "--" + String(field.key.map { $0 == "_" ? "-" : $0 })
      guard let text = try options.value(flag) else { continue }
      isGiven.insert(field.key)
      let node = Node(
        content: .scalar(text, isPlain: true), place: .whole(flag), isOneLine: true, weight: 1)
      reader.inside(field.key) { field.read(node, &root, &$0) }
    }
    if reader.complaints.isEmpty {
      for field in keys.fields where field.isRequired && !isGiven.contains(field.key) {
        throw Options.Misuse(
          problem: "say --\(field.key)\(field.sample.map { ", as --\(field.key) \($0)" } ?? "")")
      }
      return nil
    }
    let lines = reader.complaints.sorted(files: files).map(\.description)
    return Refused(lines: lines.joined(separator: "\n"))
  }

  /// What `serve` is told, `--port` included. An exit code when it makes no sense.
  static func serving<Root>(
    _ keys: Keys<Root>, into root: inout Root, address: WritableKeyPath<Root, WrittenAddress>,
    _ options: inout Options
  ) throws(Options.Misuse) -> Int32? {
    let port = try options.value("--port")
    if let refused = try read(keys, into: &root, &options) {
      Console.printError(refused.lines + "\n")
      return 1
    }
    if let port {
      guard let number = UInt16(port) else {
        throw Options.Misuse(problem: "--port needs a number from 0 to 65535")
      }
      root[keyPath: address] = ServeSettings.local(port: number)
    }
    _ = try options.operands(atMost: 0)
    return nil
  }

  private static func entries(of path: String, _ reader: inout Reader) -> [Node.Entry]? {
    let bytes: [UInt8]
    switch SourceText.contents(path) {
    case .bytes(let contents): bytes = contents
    case .failure(let reason):
      reader.complain(.whole(path), reason)
      return nil
    }
    switch SourceText.check(bytes, file: path) {
    case .complaint(let complaint):
      reader.complaints.add(complaint)
      return nil
    case .value(let text):
      var nodesLeft = Composer.nodeLimit
      let result = Composer.compose(text, complaints: &reader.complaints, nodesLeft: &nodesLeft)
      guard let root = result.root else { return [] }
      guard case .map(let entries) = root.content else {
        reader.complain(root.place, "the file must be a mapping with keys, not \(root.noun)")
        return nil
      }
      return entries
    }
  }

  /// The flags with what they mean, for `--help`.
  static func help<Root>(_ keys: Keys<Root>, defaults: Root) -> String {
    keys.fields.map { field in
      let flag = "--" + String(field.key.map { $0 == "_" ? "-" : $0 })
      let value = field.show(defaults).map { " (\($0.line))" } ?? ""
      return "  \(flag)\(field.isRequired ? "" : value)\n      \(field.doc)"
    }.joined(separator: "\n")
  }
}
