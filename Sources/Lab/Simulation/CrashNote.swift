import Glibc
import Synchronization

/// Tells which seed was running when a precondition ends the process: a crash is a find too, and
/// without its seed it is worth little.
enum CrashNote {
  /// Runs at the same time. Count.
  private static let places = 16
  private static let isInstalled = Atomic<Bool>(false)

  /// Lines to be written by the handler, which may do nothing but write. Each is written before its
  /// bit in `used` is set and not changed while it is set.
  nonisolated(unsafe) private static let lines: UnsafeMutablePointer<CChar> = {
    let memory = UnsafeMutablePointer<CChar>.allocate(capacity: places * lineBytes)
    memory.initialize(repeating: 0, count: places * lineBytes)
    return memory
  }()
  private static let lineBytes = 256
  private static let used = Atomic<UInt>(0)

  /// - Returns: what to give to `leave`; nil when there is no place.
  static func enter(_ text: String) -> Int? {
    install()
    for place in 0..<places {
      let bit = UInt(1) << UInt(place)
      if taken.bitwiseOr(bit, ordering: .acquiringAndReleasing).oldValue & bit != 0 { continue }
      let line = lines + place * lineBytes
      for (index, byte) in (Array(text.utf8.prefix(lineBytes - 2)) + [0x0a, 0]).enumerated() {
        line[index] = CChar(bitPattern: byte)
      }
      used.bitwiseOr(bit, ordering: .releasing)
      return place
    }
    return nil
  }

  static func leave(_ place: Int?) {
    guard let place else { return }
    let bit = UInt(1) << UInt(place)
    used.bitwiseAnd(~bit, ordering: .releasing)
    taken.bitwiseAnd(~bit, ordering: .releasing)
  }

  private static let taken = Atomic<UInt>(0)

  private static func install() {
    guard !isInstalled.exchange(true, ordering: .acquiringAndReleasing) else { return }
    _ = lines
    for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT] {
      signal(number) { number in
        CrashNote.write()
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }

  private static func write() {
    let running = used.load(ordering: .acquiring)
    for place in 0..<places where running & (UInt(1) << UInt(place)) != 0 {
      let line = lines + place * lineBytes
      _ = Glibc.write(2, line, strlen(line))
    }
  }
}
