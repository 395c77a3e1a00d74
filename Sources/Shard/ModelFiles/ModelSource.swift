import Glibc
import JSON
import ShardPlan

/// An opened model: a Hugging Face folder or a GGUF file, its files mapped and everything about them
/// checked, so that whoever reads the weights need not doubt them.
///
/// Opening reads headers and configuration only; weights are read by `TensorView.read` from the
/// mapping, whatever part a rank wants.
package final class ModelSource: Sendable {
  package let shape: ModelShape
  /// The folder's or file's own name, for `/v1/models`; in a Hugging Face cache the repository's.
  package let name: String
  package let files: [String]
  /// Bytes of all weight files.
  package let fileBytes: Int
  package let defaults: GenerationDefaults
  package let chatTemplate: String?
  package let specialTokens: SpecialTokens

  private let mapped: [MappedFile]
  private let views: [String: TensorView]
  private let text: Text

  private enum Text: Sendable {
    case folder(TextFiles)
    case gguf(GGUFTokenizer?)
  }

  /// A folder with a config.json, a .gguf file, or a folder that holds exactly one.
  package static func open(_ path: String) throws(ModelComplaint) -> ModelSource {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw ModelComplaint(quoted(path), "is not a path; give a model folder or a .gguf file")
    }
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    var facts = stat()
    guard stat(path, &facts) == 0 else {
      throw ModelComplaint(
        path,
        "cannot be opened: \(String(cString: strerror(errno)));"
          + " give a model folder or a .gguf file")
    }
    guard facts.st_mode & S_IFMT == S_IFDIR else {
      return try ModelSource(gguf: path)
    }
    let names = try entries(of: path)
    if names.contains("config.json") { return try ModelSource(folder: path, names) }
    let candidates = names.filter { $0.hasSuffix(".gguf") }
    switch candidates.count {
    case 1: return try ModelSource(gguf: path + "/" + candidates[0])
    case 0:
      throw ModelComplaint(
        path, "has no config.json and no .gguf file; give a model folder or a .gguf file")
    default:
      throw ModelComplaint(
        path,
        "holds \(candidates.count) .gguf files; name one, such as \(path)/\(candidates[0])")
    }
  }

  private init(folder: String, _ names: [String]) throws(ModelComplaint) {
    let config = try Config(
      ConfigReader(MappedFile(folder + "/config.json", limit: ConfigReader.limit)))
    var shape = try config.shape()
    try EncoderFiles.apply(folder, to: &shape)
    var defaults = GenerationDefaults()
    if let file = try MappedFile.ifPresent(
      folder + "/generation_config.json", limit: ConfigReader.limit)
    {
      defaults = try GenerationDefaults(file, vocabulary: shape.vocabulary)
    }
    for token in defaults.endTokens where !shape.endTokens.contains(token) {
      shape.endTokens.append(token)
    }
    let weights = try FolderWeights.table(of: folder, among: names)
    views = try weights.table.views(for: shape)
    shape.storedType = views.mostlyStored()
    let text = try TextFiles(folder)
    self.text = .folder(text)
    chatTemplate = text.chatTemplate
    specialTokens = text.specialTokens
    self.shape = shape
    self.defaults = defaults
    name = Self.name(of: folder)
    mapped = weights.files
    files = mapped.map(\.path)
    fileBytes = mapped.reduce(0) { $0 + $1.bytes.count }
  }

  private init(gguf path: String) throws(ModelComplaint) {
    let file = try MappedFile(path)
    let model = try GGUFModel(file)
    var shape = try model.shape()
    views = try model.table(for: shape).views(for: shape)
    shape.storedType = views.mostlyStored()
    self.shape = shape
    let tokenizer = try GGUFTokenizer(model.header, vocabulary: shape.vocabulary)
    text = .gguf(tokenizer)
    var special = SpecialTokens()
    special.beginning = tokenizer?.text(tokenizer?.beginningToken)
    special.end = tokenizer?.text(tokenizer?.endToken)
    special.padding = tokenizer?.text(tokenizer?.paddingToken)
    special.unknown = tokenizer?.text(tokenizer?.unknownToken)
    specialTokens = special
    chatTemplate = try model.header.text("tokenizer.chat_template")
    defaults = GenerationDefaults()
    name = Self.name(of: path)
    mapped = [file]
    files = [path]
    fileBytes = file.bytes.count
  }

  /// The weight of that Hugging Face name; nil where a model of this shape has none. Experts that a
  /// file keeps together come one by one.
  package func tensor(_ name: String) -> TensorView? { views[name] }

  /// Names of all weights, sorted.
  package var tensorNames: [String] { views.keys.sorted() }

  /// Reads the tokenizer. Not done by `open`, since only the process that serves needs one, and a
  /// large one takes tenths of a second.
  package func tokenizer() throws(ModelComplaint) -> TokenizerSource {
    switch text {
    case .folder(let files): try files.tokenizer()
    case .gguf(let tokenizer): tokenizer.map { .gguf($0) } ?? .missing
    }
  }

  /// Asks the kernel to read all weights ahead. For one rank; others want parts.
  package func prefetch() { for file in mapped { file.prefetch(0..<file.bytes.count) } }

  /// Gives back all pages of the files: what was needed has been copied.
  package func release() { for file in mapped { file.release(0..<file.bytes.count) } }

  // MARK: Folders

  /// Names in a folder, sorted. Count; a model's has some tens of files.
  private static let entryLimit = 65536

  private static func entries(of folder: String) throws(ModelComplaint) -> [String] {
    guard let stream = opendir(folder) else {
      throw ModelComplaint(folder, "cannot be listed: \(String(cString: strerror(errno)))")
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      guard names.count < entryLimit else {
        throw ModelComplaint(folder, "holds more than \(entryLimit) files")
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The last part of the path as it really is, so that "." has a name too.
  private static func name(of path: String) -> String {
    var real = path
    if let resolved = realpath(path, nil) {
      real = String(cString: resolved)
      free(resolved)
    }
    // A cached file is a link to a blob named by its hash; the link has the better name.
    let parts = (path.hasSuffix(".gguf") ? path : real).split(separator: "/")
    guard let last = parts.last else { return "model" }
    // models--OWNER--NAME/snapshots/REVISION
    if parts.count >= 3, parts[parts.count - 2] == "snapshots",
      parts[parts.count - 3].hasPrefix("models--")
    {
      let words = parts[parts.count - 3].dropFirst("models--".count).split(separator: "-")
      return words.isEmpty ? String(last) : repository(parts[parts.count - 3])
    }
    return String(last)
  }

  /// "models--OWNER--NAME" to "OWNER/NAME".
  private static func repository(_ folder: Substring) -> String {
    var name = ""
    var rest = folder.dropFirst("models--".count)
    while !rest.isEmpty {
      if rest.hasPrefix("--"), !name.contains("/") {
        name += "/"
        rest = rest.dropFirst(2)
      } else {
        name.append(rest.removeFirst())
      }
    }
    return name
  }
}
