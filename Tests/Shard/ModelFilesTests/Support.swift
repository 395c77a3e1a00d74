import Glibc
import JSON
import ModelFiles
import Testing

/// A temporary directory, gone with its test.
final class Folder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/portico-model-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(path) }

  func callAsFunction(_ name: String) -> String { path + "/" + name }

  func write(_ name: String, _ bytes: some Collection<UInt8>, size: Int? = nil) {
    let file = open(self(name), O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    precondition(file >= 0)
    let bytes = Array(bytes)
    precondition(Glibc.write(file, bytes, bytes.count) == bytes.count)
    // The rest is zeros that take no room.
    if let size { precondition(ftruncate(file, size) == 0) }
    close(file)
  }

  func write(_ name: String, _ text: String) { write(name, text.utf8) }

  func makeFolder(_ name: String) { precondition(mkdir(self(name), 0o755) == 0) }

  private static func remove(_ path: String) {
    if unlink(path) == 0 { return }
    guard let stream = opendir(path) else { return }
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { remove(path + "/" + name) }
    }
    closedir(stream)
    rmdir(path)
  }
}

enum Golden {
  static let folder =
    #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/Goldens/"

  static func bytes(_ name: String) throws -> [UInt8] {
    let file = open(folder + name, O_RDONLY)
    try #require(file >= 0)
    defer { close(file) }
    var facts = stat()
    fstat(file, &facts)
    return [UInt8](unsafeUninitializedCapacity: Int(facts.st_size)) {
      $1 = read(file, $0.baseAddress, $0.count)
    }
  }

  /// What transformers saved for a tiny model: config.json, and the header of its weights.
  static func model(_ name: String) throws -> (config: JSONValue, header: String) {
    let model = try #require(JSONValue(bytes("models.json"))[name])
    return (try #require(model["config"]), try #require(model["header"]?.text))
  }
}

/// The sentence with which a path is refused, with the folder's own name taken out; nil when it opens.
func refusal(_ path: String, in folder: Folder) -> String? {
  do {
    _ = try ModelSource.open(path)
    return nil
  } catch {
    return plain(error.description, folder)
  }
}

func plain(_ text: String, _ folder: Folder) -> String {
  var text = Substring(text)
  var plain = ""
  while let character = text.first {
    if text.hasPrefix(folder.path) {
      plain += "F"
      text = text.dropFirst(folder.path.count)
    } else {
      plain.append(character)
      text = text.dropFirst()
    }
  }
  return plain
}

/// A safetensors file as its parts.
struct Safe {
  var tensors: [(name: String, type: String, shape: [Int], bytes: [UInt8])] = []

  mutating func add(_ name: String, _ shape: [Int], _ floats: [Float]) {
    tensors.append((name, "F32", shape, floats.flatMap { bytes($0.bitPattern) }))
  }

  mutating func add(_ name: String, _ type: String, _ shape: [Int], _ bytes: [UInt8]) {
    tensors.append((name, type, shape, bytes))
  }

  var file: [UInt8] {
    var place = 0
    var entries: [String] = []
    for (name, type, shape, bytes) in tensors {
      entries.append(
        "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),"
          + "\"data_offsets\":[\(place),\(place + bytes.count)]}")
      place += bytes.count
    }
    return Safe.file("{" + entries.joined(separator: ",") + "}", tensors.flatMap(\.bytes))
  }

  static func file(_ header: String, _ data: [UInt8] = []) -> [UInt8] {
    bytes(UInt64(header.utf8.count)) + Array(header.utf8) + data
  }

  /// Every tensor of a llama of one layer: width 2, one head of 2, 3 tokens, feed-forward of 2.
  static func tinyLlama() -> Safe {
    var safe = Safe()
    for (name, shape) in tinyShapes {
      let count = shape.reduce(1, *)
      safe.add(name, shape, (0..<count).map { Float($0) + Float(name.utf8.count) / 8 })
    }
    return safe
  }

  static let tinyShapes: [(String, [Int])] = [
    ("model.embed_tokens.weight", [3, 2]), ("model.norm.weight", [2]), ("lm_head.weight", [3, 2]),
    ("model.layers.0.input_layernorm.weight", [2]),
    ("model.layers.0.post_attention_layernorm.weight", [2]),
    ("model.layers.0.self_attn.q_proj.weight", [2, 2]),
    ("model.layers.0.self_attn.k_proj.weight", [2, 2]),
    ("model.layers.0.self_attn.v_proj.weight", [2, 2]),
    ("model.layers.0.self_attn.o_proj.weight", [2, 2]),
    ("model.layers.0.mlp.gate_proj.weight", [2, 2]),
    ("model.layers.0.mlp.up_proj.weight", [2, 2]),
    ("model.layers.0.mlp.down_proj.weight", [2, 2]),
  ]

  static let tinyConfig = """
    {"model_type": "llama", "hidden_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1,
     "intermediate_size": 2, "vocab_size": 3, "max_position_embeddings": 8, "rope_theta": 10000.0}
    """
}

/// Little-endian.
func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
  withUnsafeBytes(of: number.littleEndian) { Array($0) }
}

extension TensorView {
  var floats: [Float] { floats(0..<rows, 0..<columns) }

  func floats(_ rows: Range<Int>, _ columns: Range<Int>) -> [Float] {
    [Float](unsafeUninitializedCapacity: rows.count * columns.count) {
      read(rows: rows, columns: columns, into: $0.baseAddress!)
      $1 = rows.count * columns.count
    }
  }
}

/// Reads all of a model; whether the numbers make sense is not asked.
func readAll(_ source: ModelSource) throws {
  for name in source.tensorNames { _ = try #require(source.tensor(name)).floats }
  _ = try source.tokenizer()
}

enum JSONValueReader {
  /// Names and shapes of a safetensors header.
  static func shapes(_ header: String) -> [(String, [Int])]? {
    guard case .object(let members) = try? JSONValue(header) else { return nil }
    return members.compactMap { name, entry in
      entry["shape"]?.elements.map { (name, $0.compactMap(\.integer)) }
    }
  }
}
