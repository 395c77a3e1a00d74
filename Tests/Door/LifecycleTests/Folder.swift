import Glibc
import Testing

/// A temporary directory, gone with its test.
final class Folder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/portico-lifecycle-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(path) }

  func callAsFunction(_ name: String) -> String { path + "/" + name }

  /// Writes in place: the inode stays.
  func write(_ name: String, _ text: String) {
    let file = fopen(self(name), "w")!
    fputs(text, file)
    fclose(file)
  }

  func rename(_ from: String, to: String) { precondition(Glibc.rename(self(from), self(to)) == 0) }
  func link(_ name: String, to target: String) { precondition(symlink(target, self(name)) == 0) }
  func delete(_ name: String) { precondition(unlink(self(name)) == 0) }
  func makeDirectory(_ name: String) { precondition(mkdir(self(name), 0o755) == 0) }
  func deleteTree(_ name: String) { Self.remove(self(name)) }

  private static func remove(_ path: String) {
    guard let stream = opendir(path) else { return }
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name == "." || name == ".." { continue }
      let child = path + "/" + name
      if unlink(child) != 0 { remove(child) }
    }
    closedir(stream)
    rmdir(path)
  }
}
