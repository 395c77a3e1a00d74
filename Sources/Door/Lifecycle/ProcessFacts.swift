import CLinux
import Glibc
import Primitives

/// What the kernel knows about this process, for the `process_*` metrics.
package struct ProcessFacts: Sendable, Equatable {
  package var residentBytes: UInt64
  package var virtualBytes: UInt64
  package var threads: Int
  /// User and system together.
  package var cpuSeconds: Double
  /// Since 1970.
  package var startSeconds: Double
  package var openDescriptors: Int
  /// The soft limit.
  package var descriptorLimit: UInt64

  /// As of now. Nil where there is no `/proc`.
  package static func read() -> ProcessFacts? {
    guard let text = contents(of: "/proc/self/stat"), let fields = StatFields(text) else {
      return nil
    }
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
    let sinceStart = seconds(CLOCK_BOOTTIME) - Double(fields.startTicks) / ticksPerSecond
    return ProcessFacts(
      residentBytes: fields.residentPages * UInt64(sysconf(Int32(_SC_PAGESIZE))),
      virtualBytes: fields.virtualBytes, threads: fields.threads,
      cpuSeconds: seconds(CLOCK_PROCESS_CPUTIME_ID),
      startSeconds: seconds(CLOCK_REALTIME) - sinceStart, openDescriptors: countDescriptors(),
      descriptorLimit: UInt64(limit.rlim_cur))
  }

  private static func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private static func contents(of path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { _ = portico_close(descriptor) }
    // The line has 52 numbers and a name of at most 15 bytes.
    return [UInt8](unsafeUninitializedCapacity: 2_048) { buffer, count in
      count = max(0, Int(portico_read(descriptor, buffer.baseAddress, buffer.count)))
    }
  }

  /// Without the one that is needed to count.
  private static func countDescriptors() -> Int {
    // Since Linux 6.2 the size of the directory is the count; walking through it takes
    // milliseconds at 10,000 connections.
    var facts = stat()
    if stat("/proc/self/fd", &facts) == 0, facts.st_size > 0 { return Int(facts.st_size) }
    guard let directory = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    // `.`, `..` and the directory itself.
    return max(0, count - 3)
  }
}

/// The few numbers we need of `/proc/self/stat`.
struct StatFields: Equatable {
  let threads: Int
  /// Clock ticks from boot to the start of the process.
  let startTicks: UInt64
  let virtualBytes: UInt64
  let residentPages: UInt64

  /// The name of the process may contain anything, `)` and spaces too: what counts begins after the
  /// last `)`, with field 3.
  init?(_ text: [UInt8]) {
    guard let end = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = text[(end + 1)...].split(separator: UInt8(ascii: " "))
    func number(_ field: Int) -> UInt64? {
      field - 3 < fields.count ? UInt64(String(decoding: fields[field - 3], as: UTF8.self)) : nil
    }
    guard let threads = number(20), let startTicks = number(22), let virtualBytes = number(23),
      let residentPages = number(24)
    else { return nil }
    self.threads = Int(threads)
    self.startTicks = startTicks
    self.virtualBytes = virtualBytes
    self.residentPages = residentPages
  }
}
