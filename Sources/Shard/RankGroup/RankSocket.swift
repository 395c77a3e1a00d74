import CLinux
import EventLoop
import Glibc
import Primitives

/// Where rank 0 of an MPI group reaches its supervisor: a Unix socket in a directory that nobody else
/// may enter. Removed as soon as rank 0 is there.
struct RankSocket: ~Copyable {
  let path: String
  let listener: Int32
  private let directory: String

  init() throws(SystemError) {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/portico-XXXXXX".utf8CString)
    _ = try SystemError.check(
      portico_temporary_directory(&template), "make a directory in \(parent)")
    let directory = String(
      decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = directory + "/rank0"
    do throws(SystemError) {
      listener = try Sockets.listen(.unix(path: path))
    } catch {
      rmdir(directory)
      throw error
    }
    self.directory = directory
    self.path = path
  }

  deinit {
    _ = portico_close(listener)
    unlink(path)
    rmdir(directory)
  }

  /// A descriptor, or `-errno`. A Unix socket is connected at once or not at all.
  static func connect(_ path: String) -> Int32 { Sockets.connect(.unix(path: path)) }
}
