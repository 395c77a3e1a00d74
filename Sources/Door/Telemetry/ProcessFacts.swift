import CLinux
import Glibc

/// What the kernel says of this process. Facts that cannot be read are nil and not shown.
package struct ProcessFacts: Sendable, Equatable {
  package var residentBytes: UInt64?
  package var openDescriptors: Int?
  package var descriptorLimit: UInt64?
  package var cpuSeconds: Double?
  /// Seconds since 1970, noted by whoever started the process.
  package var startSeconds: Double

  package init(startSeconds: Double) { self.startSeconds = startSeconds }

  /// Asks the kernel: seven system calls, 10 µs.
  package static func read(startSeconds: Double) -> ProcessFacts {
    var facts = ProcessFacts(startSeconds: startSeconds)
    facts.residentBytes = residentBytes()
    facts.openDescriptors = openDescriptors()
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      facts.descriptorLimit = UInt64(limit.rlim_cur)
    }
    var time = timespec()
    if clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
      facts.cpuSeconds = Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    return facts
  }

  /// The second number of `/proc/self/statm`, which counts pages.
  private static func residentBytes() -> UInt64? {
    let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { _ = portico_close(file) }
    return withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { buffer in
      let count = portico_read(file, buffer.baseAddress!, buffer.count)
      guard count > 0 else { return nil }
      let fields = buffer[..<count].split(separator: UInt8(ascii: " "))
      guard fields.count > 1, let pages = UInt64(String(decoding: fields[1], as: UTF8.self))
      else { return nil }
      return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }
  }

  /// Since Linux 6.2 the size of `/proc/self/fd` is the count; before it was 0, and the entries are
  /// counted one by one (10 ms for 10,000).
  private static func openDescriptors() -> Int? {
    var facts = stat()
    if stat("/proc/self/fd", &facts) == 0, facts.st_size > 0 { return Int(facts.st_size) }
    guard let directory = opendir("/proc/self/fd") else { return nil }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    // Without `.`, `..` and the descriptor of the directory itself.
    return max(0, count - 3)
  }
}
