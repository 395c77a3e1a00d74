import Glibc
import JSON

/// What `transformers` computed: tensors by name, from a safetensors file of our own script.
struct Golden {
  private let bytes: [UInt8]
  private let header: JSONValue
  private let start: Int

  static let folder: String = {
    let here = #filePath
    return String(here[..<here.lastIndex(of: "/")!]) + "/Goldens/"
  }()

  init(_ path: String) throws {
    bytes = try Self.contents(Self.folder + path)
    let length = Self.integer(bytes[0..<8])
    header = try JSONValue(Array(bytes[8..<8 + length]))
    start = 8 + length
  }

  static func contents(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw Missing(path: path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { return bytes }
      bytes += buffer[..<count]
    }
  }

  struct Missing: Error { let path: String }

  private static func integer(_ bytes: ArraySlice<UInt8>) -> Int {
    bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  func bytes(_ name: String) -> [UInt8]? {
    guard let offsets = header[name]?["data_offsets"]?.elements?.compactMap(\.integer) else {
      return nil
    }
    return Array(bytes[start + offsets[0]..<start + offsets[1]])
  }

  func integers(_ name: String) -> [Int32] {
    words(name).map { Int32(bitPattern: $0) }
  }

  func floats(_ name: String) -> [Float] { words(name).map { Float(bitPattern: $0) } }

  private func words(_ name: String) -> [UInt32] {
    guard let bytes = bytes(name) else { preconditionFailure("the golden has no \(name)") }
    return stride(from: 0, to: bytes.count, by: 4).map { place in
      UInt32(truncatingIfNeeded: Self.integer(bytes[place..<place + 4]))
    }
  }
}
