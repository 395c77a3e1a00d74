import Glibc
import SettingsFile

/// From a file name to settings that can be served, or to every complaint about them.
///
/// ```
/// file ─> SourceText ─> Composer ─> Node ─> Keys (Schema) ─> Settings ─> CrossChecks
///         bytes, UTF-8   YAML        tree    types, ranges                names, routes
/// ```
/// Reads files and asks the resolver, so it may block: call it off the loops.
package struct ConfigurationLoader: Sendable {
  /// Files of one configuration. Count. A directory of one file per team stays far below.
  static let fileLimit = 1000

  package enum Result: Sendable {
    case loaded(Loaded)
    case refused(Refused)
  }

  package struct Loaded: Sendable {
    package let settings: Settings
    /// What was read, in order: watch these to reload.
    package let files: [String]
    /// Included directories, where a file may appear.
    package let directories: [String]
    package let warnings: [Complaint]
    /// Where each key stands, as `listeners[0].tls.hosts[0].certificates[0].key`: for complaints
    /// about what the file names.
    package let places: [String: Place]
  }

  package struct Refused: Sendable, Error, CustomStringConvertible {
    package let complaints: [Complaint]
    /// Complaints beyond the limit of 50. Count.
    package let omitted: Int
    /// As in `Loaded`: an edit to one of these may put things right.
    package let files: [String]
    package let directories: [String]

    /// One complaint a line.
    package var description: String {
      let lines = complaints.map(\.description)
      let more = omitted > 0 ? ["and \(omitted) more"] : []
      return (lines + more).joined(separator: "\n")
    }
  }

  private let ask: (@Sendable (String) -> Resolver.Answer)?

  /// - Parameter resolve: what knows the addresses of host names; the system's when nil.
  package init(resolve: (@Sendable (String) -> Resolver.Answer)? = nil) {
    ask = resolve
  }

  package func load(path: String, environment: [String: String]) -> Result {
    var load = Load(environment: environment, resolver: Resolver(ask))
    return load.run(path)
  }
}

/// One load under way.
private struct Load {
  private var reader: Reader
  private let schema = Schema()
  private var settings = Settings()
  private var files: [String] = []
  private var directories: [String] = []
  private var nodesLeft = Composer.nodeLimit
  /// False when a file could not be read to its end: what seems missing may stand there.
  private var isComplete = true
  /// Where each key at the top was set first.
  private var topPlaces: [String: Place] = [:]

  /// Keys at the top that were meant by unknown ones.
  private var misspelt: Set<String> = []

  init(environment: [String: String], resolver: Resolver) {
    reader = Reader(environment: environment, resolver: resolver, complaints: ComplaintList())
  }

  mutating func run(_ path: String) -> ConfigurationLoader.Result {
    if let root = compose(path) {
      main(root, path)
    }
    guard reader.complaints.isEmpty else {
      return .refused(
        ConfigurationLoader.Refused(
          complaints: reader.complaints.sorted(files: files), omitted: reader.complaints.omitted,
          files: files, directories: directories))
    }
    return .loaded(
      ConfigurationLoader.Loaded(
        settings: settings, files: files, directories: directories,
        warnings: reader.warnings.sorted(files: files), places: reader.places))
  }

  private mutating func main(_ root: Node, _ path: String) {
    let start = Place(file: path, line: 1, column: 1)
    if root.isNull {
      reader.complain(start, "the file is empty; begin with 'listeners:'")
      return
    }
    guard let entries = mapping(root) else { return }
    read(entries.filter { $0.key != Schema.include.key })
    for entry in entries where entry.key == Schema.include.key {
      include(entry.value, base: path)
    }
    readGuardFiles()
    guard isComplete else { return }
    for key in Schema.required where topPlaces[key] == nil && !misspelt.contains(key) {
      let field = schema.root.fields.first { $0.key == key }
      reader.complain(
        start, "'\(key)' is missing" + (field?.sample.map { "; write '\(key): \($0)'" } ?? ""))
    }
    CrossChecks(settings: settings).run(&reader)
  }

  /// The root of a file, or nil after a complaint. An empty file is a null.
  ///
  /// - Parameter place: the `include` that names it, where a complaint belongs when it cannot be
  ///   opened.
  private mutating func compose(_ path: String, includedAt place: Place? = nil) -> Node? {
    files.append(path)
    let bytes: [UInt8]
    switch SourceText.contents(path) {
    case .bytes(let contents): bytes = contents
    case .failure(let reason):
      isComplete = false
      if let place {
        reader.complain(place, "'\(shown(path, limit: 200))': \(reason)")
      } else {
        reader.complain(.whole(path), reason)
      }
      return nil
    }
    let source: SourceText
    switch SourceText.check(bytes, file: path) {
    case .value(let text): source = text
    case .complaint(let complaint):
      isComplete = false
      reader.complaints.add(complaint)
      return nil
    }
    let result = Composer.compose(source, complaints: &reader.complaints, nodesLeft: &nodesLeft)
    guard result.isComplete else {
      isComplete = false
      return nil
    }
    return result.root
      ?? Node(
        content: .scalar("", isPlain: true), place: Place(file: path, line: 1, column: 1),
        isOneLine: true, weight: 1)
  }

  private mutating func mapping(_ root: Node) -> [Node.Entry]? {
    guard case .map(let entries) = root.content else {
      reader.complain(
        root.place, "the file must be a mapping with keys such as 'listeners', not \(root.noun)")
      return nil
    }
    return entries
  }

  private mutating func read(_ entries: [Node.Entry]) {
    let fresh = entries.filter { entry in
      guard let first = topPlaces[entry.key] else {
        topPlaces[entry.key] = entry.keyPlace
        return true
      }
      if entry.key.hasPrefix(schema.root.ignoredPrefix ?? "x-") { return true }
      let field = schema.root.fields.first { $0.key == entry.key }
      guard let field, !field.accumulates else { return true }
      reader.complain(
        entry.keyPlace,
        "'\(entry.key)' is already set \(first.named(from: entry.keyPlace)); keep one of them")
      return false
    }
    misspelt.formUnion(schema.root.read(fresh, into: &settings, &reader))
  }

  // MARK: Files of guards

  private mutating func readGuardFiles() {
    if let written = settings.apiKeysFile, let place = reader.places["api_keys_file"] {
      let path = GuardFiles.path(written, at: place)
      settings.apiKeysFile = path
      if let root = compose(path, includedAt: place), !root.isNull {
        reader.inside(Schema.fileKeys.key) { Schema.fileKeys.read(root, &settings, &$0) }
      }
    }
    if var jwt = settings.jwt, let place = reader.places["jwt.jwks"] {
      jwt.keysFile = GuardFiles.path(jwt.keysFile, at: place)
      files.append(jwt.keysFile)
      GuardFiles.readKeySet(jwt.keysFile, at: place, into: &jwt, &reader)
      settings.jwt = jwt
    }
  }

  // MARK: Includes

  private mutating func include(_ node: Node, base: String) {
    if case .list(let items) = node.content {
      for item in items { include(item, base: base) }
      return
    }
    let wanted = "a file or a directory such as conf.d"
    guard let text = reader.inside("include", { $0.scalar(node, wanted: wanted) }) else {
      isComplete = false
      return
    }
    let path = text.hasPrefix("/") ? text : Self.directory(of: base) + text
    guard isDirectory(path) else {
      read(included: path, from: node.place)
      return
    }
    directories.append(path)
    switch names(in: path) {
    case .failure(let reason):
      isComplete = false
      reader.complain(node.place, "'\(shown(path, limit: 200))': cannot open: \(reason)")
    case .names(let all):
      let wanted = all.filter { $0.hasSuffix(".yaml") && !$0.hasPrefix(".") }
      for other in all where other.hasSuffix(".yml") && !other.hasPrefix(".") {
        reader.warn(node.place, "'\(shown(other))' is not read; only *.yaml is, rename it")
      }
      if wanted.isEmpty {
        reader.warn(node.place, "the directory '\(shown(text))' holds no *.yaml")
      }
      let parent = path.hasSuffix("/") ? path : path + "/"
      for name in wanted { read(included: parent + name, from: node.place) }
    }
  }

  private mutating func read(included path: String, from place: Place) {
    guard !files.contains(path) else {
      reader.complain(place, "'\(shown(path, limit: 200))' is read twice; include it once")
      return
    }
    guard files.count < ConfigurationLoader.fileLimit else {
      isComplete = false
      reader.complain(place, "more than \(ConfigurationLoader.fileLimit) files; join some")
      return
    }
    guard let root = compose(path, includedAt: place) else { return }
    if root.isNull {
      reader.warn(root.place, "the file is empty")
      return
    }
    if let entries = mapping(root) { read(entries) }
  }

  /// With a final slash, or nothing for the current one.
  private static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2f) else { return "" }
    return String(path[...slash])
  }

  private func isDirectory(_ path: String) -> Bool {
    var info = stat()
    return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
  }

  private enum Names {
    case names([String])
    case failure(String)
  }

  /// In byte order, so that the order is the same on every machine.
  private func names(in path: String) -> Names {
    guard let directory = opendir(path) else { return .failure(SourceText.lastError()) }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      names.append(name)
    }
    return .names(names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
  }
}
