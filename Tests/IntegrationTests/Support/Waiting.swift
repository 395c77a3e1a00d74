import CLinux
import Glibc
import Testing

/// What a story waited for has not happened.
struct NeverHappened: Error, CustomStringConvertible {
  let what: String
  let seconds: Double
  let note: String
  var description: String {
    "not within \(seconds) s: \(what)" + (note.isEmpty ? "" : "\n\(note)")
  }
}

/// Waits until something is so. The limit is far above what it takes, also on a busy machine: it is
/// there so that a story that would wait for ever fails instead.
func eventually(
  _ what: String, within seconds: Double = 30, note: @autoclosure () -> String = "",
  _ isSo: () throws -> Bool
) throws {
  let end = portico_monotonic_ns() + Int64(seconds * 1e9)
  var pause: UInt32 = 1_000
  while try !isSo() {
    guard portico_monotonic_ns() < end else {
      throw NeverHappened(what: what, seconds: seconds, note: note())
    }
    usleep(pause)
    pause = min(pause * 2, 20_000)
  }
}

/// Seconds on the monotonic clock.
func seconds() -> Double { Double(portico_monotonic_ns()) / 1e9 }
