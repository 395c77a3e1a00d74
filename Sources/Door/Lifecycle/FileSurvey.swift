import CLinux
import Glibc

/// What stands at a path, as far as a reload cares.
enum Content: Hashable {
  case missing
  /// There, but not for us to read, or neither a file nor a directory.
  case unreadable
  /// The hash of the bytes; of names and contents for a directory.
  case hashed(Int)
}

struct Sight: Equatable {
  var content = Content.missing
  /// The latest change of the file or of a symbolic link on the way to it. Nanoseconds since 1970,
  /// by the file system's clock.
  var changed: Int64 = 0
}

/// One walk along paths to what stands there, noting which names in which directories decide it.
///
/// A path is decided by more than its file. Kubernetes mounts a ConfigMap as `app.yaml ->
/// ..data/app.yaml` and `..data -> ..2024_05_01`, and changes it by renaming another link over
/// `..data`: the file itself never changes. So every component is a name to watch in the directory
/// in which it stands, links are followed the same way, and where the walk ends at something that
/// is missing, the name that is missing is noted too.
struct FileSurvey {
  /// What to look for in one directory.
  struct Interest: Equatable {
    /// Entries that are on the way.
    var names: Set<String> = []
    /// Files that are read stand here: their contents matter, not only which inode has the name.
    var holdsFiles = false
    /// An included directory: entries that come newly matter too.
    var isIncluded = false
  }

  /// Symbolic links followed in one path. The kernel gives up at the same number.
  private static let linkLimit = 40
  /// Bytes of a file that are hashed. Configuration files are smaller by far, and the parser has a
  /// limit of its own.
  private static let fileLimitBytes = 16 << 20

  /// By absolute path without links.
  private(set) var interests: [String: Interest] = [:]
  private(set) var sights: [String: Sight] = [:]

  init(_ paths: [String]) {
    for path in paths where sights[path] == nil { sights[path] = examine(path, isTop: true) }
  }

  /// Which entries of an included directory are read.
  static func isIncluded(_ name: String) -> Bool {
    !name.hasPrefix(".") && (name.hasSuffix(".yaml") || name.hasSuffix(".yml"))
  }

  private mutating func examine(_ path: String, isTop: Bool) -> Sight {
    var sight = Sight()
    var ahead = Self.components(path)
    var links = 0
    var directory = "/"
    if !path.hasPrefix("/"), let current = getcwd(nil, 0) {
      directory = String(cString: current)
      free(current)
    }
    while let name = ahead.popLast() {
      if name == ".." {
        directory = Self.parent(of: directory)
        continue
      }
      interests[directory, default: Interest()].names.insert(name)
      let place = directory == "/" ? "/" + name : directory + "/" + name
      var facts = stat()
      guard lstat(place, &facts) == 0 else { return sight }
      let changed = Int64(facts.st_ctim.tv_sec) * 1_000_000_000 + Int64(facts.st_ctim.tv_nsec)
      switch facts.st_mode & S_IFMT {
      case S_IFLNK:
        sight.changed = max(sight.changed, changed)
        links += 1
        guard links <= Self.linkLimit, let target = Self.target(of: place) else {
          sight.content = .unreadable
          return sight
        }
        if target.hasPrefix("/") { directory = "/" }
        ahead += Self.components(target)
      case S_IFDIR:
        directory = place
      case S_IFREG where ahead.isEmpty:
        interests[directory]?.holdsFiles = true
        sight.changed = max(sight.changed, changed)
        sight.content = Self.hash(place)
        return sight
      default:
        sight.content = .unreadable
        return sight
      }
    }
    // A directory of directories is not included: only the files of the first are read.
    sight.content = .unreadable
    if isTop { include(directory, &sight) }
    return sight
  }

  private mutating func include(_ directory: String, _ sight: inout Sight) {
    interests[directory, default: Interest()].isIncluded = true
    interests[directory]?.holdsFiles = true
    var facts = stat()
    guard lstat(directory, &facts) == 0, let stream = opendir(directory) else { return }
    defer { closedir(stream) }
    sight.changed = max(
      sight.changed,
      Int64(facts.st_ctim.tv_sec) * 1_000_000_000 + Int64(facts.st_ctim.tv_nsec))
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if Self.isIncluded(name) { names.append(name) }
    }
    var hasher = Hasher()
    for name in names.sorted() {
      let file = examine(directory == "/" ? "/" + name : directory + "/" + name, isTop: false)
      hasher.combine(name)
      hasher.combine(file.content)
      sight.changed = max(sight.changed, file.changed)
    }
    sight.content = .hashed(hasher.finalize())
  }

  // MARK: Paths and files

  /// The last first.
  private static func components(_ path: String) -> [String] {
    path.split(separator: "/").reversed().compactMap { $0 == "." ? nil : String($0) }
  }

  private static func parent(of directory: String) -> String {
    let slash = directory.lastIndex(of: "/") ?? directory.startIndex
    return slash == directory.startIndex ? "/" : String(directory[..<slash])
  }

  private static func target(of link: String) -> String? {
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
      count = buffer.withMemoryRebound(to: CChar.self) {
        max(0, readlink(link, $0.baseAddress!, $0.count))
      }
    }
    return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
  }

  private static func hash(_ path: String) -> Content {
    // Not blocking: what was a file a moment ago may be a pipe by now.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return .unreadable }
    defer { _ = portico_close(descriptor) }
    var hasher = Hasher()
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    var total = 0
    while total < fileLimitBytes {
      let count = Int(portico_read(descriptor, &chunk, chunk.count))
      if count < 0 { return .unreadable }
      if count == 0 { break }
      total += count
      chunk.withUnsafeBytes {
        hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[..<count]))
      }
    }
    return .hashed(hasher.finalize())
  }
}
