import CLinux
import Dispatch
import Glibc
import Primitives
import Synchronization

/// Where the access log goes.
package enum AccessLogDestination: Sendable, Equatable {
  case stdout
  case file(path: String)
}

/// The access log could not be opened: the operator's to mend.
package struct AccessLogError: Error, Equatable, CustomStringConvertible {
  package let path: String
  /// errno, positive.
  package let code: Int32

  package var description: String {
    "access log: cannot open '\(path)': \(Self.text(code)); "
      + "create its directory, or let Portico's user write there"
  }

  static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// Takes the lines of all loops to a file or to standard output, on a queue of its own.
///
/// A loop that puts a line into an empty ring wakes the queue, which writes `delay` later all that
/// has come together: at most twenty wake-ups a second, however many requests. When the disk is slow
/// or full the rings fill, and lines are dropped and counted; no loop ever waits. What stands in the
/// rings is kept and written when the disk takes it again. Lines are whole in every file: the rest of
/// a line that was cut by a full disk follows before anything else, or is dropped by a `reopen`.
///
/// `@unchecked Sendable`: mutable state is touched on `queue` only, and checked there.
package final class AccessLogWriter: @unchecked Sendable {
  /// Bytes of a loop's ring: 3,000 lines of 350 bytes, which is 60,000 requests per second for the
  /// 50 ms of `delay`.
  package static let ringBytes = 1 << 20
  /// Lines may be so late. A person who follows the log does not notice.
  private static let delay = DispatchTimeInterval.milliseconds(50)
  /// Pause before a disk that refused is asked again.
  private static let pause = DispatchTimeInterval.seconds(1)
  /// A trouble that lasts is said so often.
  private static let repetition = DispatchTimeInterval.seconds(60)

  /// What loops wake the queue with. `@unchecked Sendable`: `dispatch_source_merge_data` is made to be
  /// called from any thread; what is merged before the queue looks is one wake-up.
  private struct Bell: @unchecked Sendable {
    let source: any DispatchSourceUserDataOr
    func ring(isUrgent: Bool) { source.or(data: isUrgent ? 2 : 1) }
  }

  /// By loop.
  package let rings: [AccessLogRing]
  private let queue = DispatchQueue(label: "portico.access-log")
  private let source: any DispatchSourceUserDataOr
  private let destination: AccessLogDestination
  private let log: OperatorLog
  private let ringBytes: Int
  private let droppedHere = Atomic<UInt64>(0)

  // On the queue only.
  private var descriptor: Int32
  /// The ring that goes first: the one whose line is cut, if any is.
  private var current = 0
  private var isCut = false
  private var isScheduled = false
  private var isPausing = false
  private var hasComplained = false
  private var mayComplain = true

  package init(
    to destination: AccessLogDestination, loops: Int, log: OperatorLog,
    ringBytes: Int = AccessLogWriter.ringBytes
  ) throws(AccessLogError) {
    self.destination = destination
    self.log = log
    self.ringBytes = ringBytes
    descriptor = try Self.open(destination)
    let source = DispatchSource.makeUserDataOrSource(queue: queue)
    self.source = source
    let bell = Bell(source: source)
    rings = (0..<loops).map { _ in AccessLogRing(size: ringBytes) { bell.ring(isUrgent: $0) } }
    source.setEventHandler { [weak self] in self?.woken() }
    source.activate()
  }

  deinit {
    source.cancel()
    if descriptor > 2 { _ = portico_close(descriptor) }
  }

  /// Lines that were dropped since the start, over all loops. From any thread.
  package var droppedLines: UInt64 {
    rings.reduce(droppedHere.load(ordering: .relaxed)) { $0 &+ $1.droppedLines }
  }

  /// Opens the file anew, as after a rotation that moved it away. From any thread.
  package func reopen() { queue.async { [self] in exchange() } }

  /// Writes everything that waits, now. From any thread but a loop's: it waits for the disk.
  package func flush() {
    queue.sync {
      isPausing = false
      drain()
    }
  }

  /// Writes what waits and closes the file. A disk that hangs is waited for no longer than this.
  ///
  /// - Returns: Everything was written.
  @discardableResult
  package func close(within limit: TimeAmount) -> Bool {
    let done = DispatchSemaphore(value: 0)
    let before = droppedHere.load(ordering: .relaxed)
    queue.async { [self] in
      isPausing = false
      drain()
      abandon()
      done.signal()
    }
    let limit = DispatchTimeInterval.nanoseconds(Int(limit.nanoseconds))
    return done.wait(timeout: .now() + limit) == .success
      && droppedHere.load(ordering: .relaxed) == before
  }

  // MARK: On the queue

  private func woken() {
    if source.data & 2 != 0 { return drain() }
    schedule()
  }

  private func schedule() {
    guard !isScheduled else { return }
    isScheduled = true
    queue.asyncAfter(deadline: .now() + Self.delay) { [weak self] in
      self?.isScheduled = false
      self?.drain()
    }
  }

  /// Writes until the rings are empty or the disk refuses.
  private func drain() {
    dispatchPrecondition(condition: .onQueue(queue))
    if isPausing || descriptor < 0 { return }
    // Standard output may be a pipe whose reader has left; that is an error to report, not a death.
    // The queue's thread keeps the signal blocked: nothing of ours starts a process from there.
    var pipe = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipe, nil)
    for ring in rings { ring.looked() }
    for step in 0..<rings.count {
      let index = (current + step) % rings.count
      while let piece = rings[index].waiting().nonEmpty {
        let written = portico_write(descriptor, piece.baseAddress, piece.count)
        if written <= 0 {
          current = index
          if written == -Int(EAGAIN) { return schedule() }
          return refused(written == 0 ? EIO : -Int32(written))
        }
        isCut = piece[written - 1] != UInt8(ascii: "\n")
        rings[index].take(written)
      }
    }
    recovered()
  }

  private func refused(_ code: Int32) {
    isPausing = true
    queue.asyncAfter(deadline: .now() + Self.pause) { [weak self] in
      self?.isPausing = false
      self?.drain()
    }
    guard mayComplain else { return }
    mayComplain = false
    hasComplained = true
    queue.asyncAfter(deadline: .now() + Self.repetition) { [weak self] in self?.mayComplain = true }
    log.error(
      "access log cannot be written, lines are dropped when \(ringBytes / 1_024) KiB wait",
      ["to": name, "why": AccessLogError.text(code), "dropped": "\(droppedLines)"])
  }

  private func recovered() {
    guard hasComplained else { return }
    hasComplained = false
    log.info("access log is written again", ["to": name, "dropped": "\(droppedLines)"])
  }

  private func exchange() {
    dispatchPrecondition(condition: .onQueue(queue))
    guard case .file = destination, descriptor >= 0 else { return }
    do throws(AccessLogError) {
      let fresh = try Self.open(destination)
      if isCut { skipLine() }
      _ = portico_close(descriptor)
      descriptor = fresh
      isPausing = false
      log.info("access log reopened", ["to": name])
    } catch {
      log.error("\(error)", ["still": "the file opened before"])
    }
    drain()
  }

  /// Drops the rest of a line whose beginning stands in the old file.
  private func skipLine() {
    let piece = rings[current].waiting()
    let end = piece.firstIndex(of: UInt8(ascii: "\n")) ?? piece.count - 1
    rings[current].take(end + 1)
    droppedHere.wrappingAdd(1, ordering: .relaxed)
    isCut = false
  }

  /// Gives up what the disk did not take.
  private func abandon() {
    var lines: UInt64 = 0
    for ring in rings {
      while let piece = ring.waiting().nonEmpty {
        for byte in piece where byte == UInt8(ascii: "\n") { lines += 1 }
        ring.take(piece.count)
      }
    }
    droppedHere.wrappingAdd(lines, ordering: .relaxed)
    if descriptor > 2 { _ = portico_close(descriptor) }
    descriptor = -1
  }

  private var name: String {
    switch destination {
    case .stdout: "stdout"
    case .file(let path): path
    }
  }

  /// Appends, so that a file truncated by a rotation goes on at its start. `O_NONBLOCK` keeps a named
  /// pipe without a reader from holding up the start; a regular file does not care.
  private static func open(_ destination: AccessLogDestination) throws(AccessLogError) -> Int32 {
    guard case .file(let path) = destination else { return 1 }
    // errno is read in the same expression, before anything of Swift's can touch it.
    let (descriptor, code) = path.withCString { path in
      (
        Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o640),
        errno
      )
    }
    if descriptor < 0 { throw AccessLogError(path: path, code: code) }
    return descriptor
  }
}

extension UnsafeRawBufferPointer {
  fileprivate var nonEmpty: UnsafeRawBufferPointer? { isEmpty ? nil : self }
}
