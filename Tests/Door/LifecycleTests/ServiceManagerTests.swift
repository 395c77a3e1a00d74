import CLinux
import EventLoop
import Glibc
import Primitives
import Testing

@testable import Lifecycle

/// systemd's end of the line. The environment belongs to the whole process, so it is set once, for
/// all tests, and the one test that needs it does everything.
private final class FakeManager {
  private let descriptor: Int32
  private let folder: Folder

  init() throws {
    folder = try Folder()
    let path = folder("notify")
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = portico_address()
    address.un.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.un.sun_path) { $0.copyBytes(from: path.utf8) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    // Not `&address.any`, which would be a copy of the first 16 bytes.
    let bound = withUnsafeBytes(of: &address) {
      bind(descriptor, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, size)
    }
    try #require(bound == 0)
    setenv("NOTIFY_SOCKET", path, 1)
  }

  deinit {
    unsetenv("NOTIFY_SOCKET")
    _ = portico_close(descriptor)
  }

  func next() -> String? {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&wait, 1, 10_000) == 1 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 1_024)
    let count = portico_receive(descriptor, &bytes, bytes.count)
    return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
  }
}

@Suite struct ServiceManagerTests {
  // What systemd does not understand it ignores, and then kills the service at its start limit.
  @Test func speaksToSystemd() async throws {
    let control = try Control()
    let service = ServiceManager(loop: control.loop)
    // Nobody listens: nothing happens, and nothing fails.
    service.status("nobody")
    let manager = try FakeManager()

    service.ready(status: "serving 3 pools")
    #expect(manager.next() == "READY=1\nSTATUS=serving 3 pools")

    let before = portico_monotonic_ns() / 1_000
    service.reloading()
    let words = try #require(manager.next()).split(separator: "\n")
    #expect(words.first == "RELOADING=1")
    let time = try #require(words.last?.split(separator: "="))
    #expect(time.first == "MONOTONIC_USEC")
    let stamp = try #require(Int64(time[1]))
    #expect(stamp >= before && stamp <= portico_monotonic_ns() / 1_000)

    service.status("two\nlines\r\nMAINPID=1")
    #expect(manager.next() == "STATUS=two lines MAINPID=1")
    service.stopping(within: .seconds(65), status: "draining 4 streams")
    #expect(
      manager.next() == "STOPPING=1\nEXTEND_TIMEOUT_USEC=65000000\nSTATUS=draining 4 streams")

    setenv("WATCHDOG_USEC", "20000", 1)
    setenv("WATCHDOG_PID", "\(getpid())", 1)
    #expect(await control.onLoop { service.startWatchdog() } == .milliseconds(10))
    for _ in 0..<3 { #expect(manager.next() == "WATCHDOG=1") }
    await control.onLoop { service.stopWatchdog() }
    unsetenv("WATCHDOG_USEC")
    unsetenv("WATCHDOG_PID")
    #expect(await control.onLoop { service.startWatchdog() } == nil)
  }

  // A ping at the limit itself comes too late; one for another process keeps nobody alive.
  @Test func pingInterval() {
    func interval(_ limit: String?, _ process: String?) -> TimeAmount? {
      ServiceManager.pingInterval(limit: limit, process: process, own: 42)
    }
    #expect(interval("30000000", "42") == .seconds(15))
    #expect(interval("30000000", nil) == .seconds(15))
    #expect(interval("30000000", "43") == nil)
    #expect(interval(nil, "42") == nil)
    for wrong in ["0", "-5", "", "x", "\(Int64.max)"] { #expect(interval(wrong, nil) == nil) }
  }
}
