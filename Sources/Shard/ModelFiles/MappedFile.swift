import CModelFiles
import Glibc

/// One file, mapped to read for as long as anything refers to it.
///
/// Sendable although it holds a pointer: the mapping is read-only and is given up only by `deinit`.
/// Who shortens the file under a running worker ends it (SIGBUS), as with every program that maps.
final class MappedFile: @unchecked Sendable {
  let path: String
  let bytes: UnsafeRawBufferPointer

  /// `limit`: bytes, for files that are read as one text.
  init(_ path: String, limit: Int = .max) throws(ModelComplaint) {
    self.path = path
    guard !path.utf8.contains(0) else {
      throw ModelComplaint(quoted(path), "the path contains a NUL byte")
    }
    var start: UnsafeRawPointer?
    let size = pf_map(path, &start)
    bytes = UnsafeRawBufferPointer(start: start, count: Int(max(0, size)))
    switch -size {
    case ...0:
      if size > limit {
        throw ModelComplaint(path, "is \(size) bytes long, more than the \(limit) allowed here")
      }
    case Int64(EISDIR): throw ModelComplaint(path, "is a folder where a file should be")
    case Int64(ENOTSUP): throw ModelComplaint(path, "is not a regular file")
    case let number:
      throw ModelComplaint(path, "cannot be opened: \(String(cString: strerror(Int32(number))))")
    }
  }

  deinit { pf_unmap(bytes.baseAddress, bytes.count) }

  /// The same, or nil where there is no such file.
  static func ifPresent(
    _ path: String, limit: Int = .max
  ) throws(ModelComplaint) -> MappedFile? {
    var facts = stat()
    // What `stat` cannot see for another reason than absence is for `init` to explain.
    guard stat(path, &facts) == 0 || errno != ENOENT else { return nil }
    return try MappedFile(path, limit: limit)
  }

  /// All of it as one text; nil where it is not UTF-8.
  func text() -> String? { String(validating: bytes, as: UTF8.self) }

  func release(_ range: Range<Int>) {
    guard let start = bytes.baseAddress, !range.isEmpty else { return }
    pf_release(start + range.lowerBound, range.count)
  }

  func prefetch(_ range: Range<Int>) {
    guard let start = bytes.baseAddress, !range.isEmpty else { return }
    pf_prefetch(start + range.lowerBound, range.count)
  }
}
