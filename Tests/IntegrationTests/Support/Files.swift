import Glibc

/// A folder for one story, gone with it.
final class Folder {
  let path: String

  init() {
    var template = Array("/tmp/portico-story-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "no folder can be made in /tmp")
    path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  deinit { Self.remove(path) }

  subscript(_ name: String) -> String { "\(path)/\(name)" }

  /// Puts a text into a file where it stands, as an editor does that truncates it.
  func write(_ name: String, _ text: String) { put(text, to: self[name]) }

  private static func remove(_ path: String) {
    for name in list(path) {
      let entry = "\(path)/\(name)"
      var status = stat()
      if lstat(entry, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
        remove(entry)
      } else {
        unlink(entry)
      }
    }
    rmdir(path)
  }
}

func put(_ text: String, to path: String) {
  guard let file = fopen(path, "w") else { preconditionFailure("cannot write \(path)") }
  fputs(text, file)
  fclose(file)
}

/// The text of a file; nil when it cannot be read.
func contents(of path: String) -> String? {
  guard let file = fopen(path, "r") else { return nil }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 64 << 10)
  while true {
    let count = fread(&piece, 1, piece.count, file)
    if count == 0 { return String(decoding: bytes, as: UTF8.self) }
    bytes += piece[..<count]
  }
}

/// Names in a folder, without `.` and `..`.
func list(_ path: String) -> [String] {
  guard let folder = opendir(path) else { return [] }
  defer { closedir(folder) }
  var names: [String] = []
  while let entry = readdir(folder) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}
