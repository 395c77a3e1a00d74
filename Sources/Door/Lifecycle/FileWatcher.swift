import CLinux
import Dispatch
import EventLoop
import Primitives

/// Notices that files have another content than before, however that came about: edited in place,
/// replaced by rename, reached by another symbolic link, deleted, created again; for a directory
/// also by files that come and go.
///
/// inotify says that something happened to a name on the way to a file (see `FileSurvey`); what
/// counts is then found by looking: contents are compared by hash, so a `touch`, or a link to the
/// same text, is no change.
///
/// ```
/// [quiet] --event of interest--> [waiting] --`quiet` without another, or `patience`--> look
///    ^                                                                                  |
///    +------------------ changed: tell the loop; watch what is there now <--------------+
/// ```
///
/// Files are read on a queue of the watcher's own, to which everything here belongs; the loop gets
/// messages. A file that is deleted counts as changed: the next start would fail, and the operator
/// should hear of it today.
package final class FileWatcher: @unchecked Sendable {
  package enum Event: Sendable, Equatable {
    /// Paths as they were given.
    case changed([String])
    /// Changes may go unnoticed from here on.
    case cannotWatch(SystemError)
  }

  /// An editor or `git checkout` touches several files, one after the other.
  package static let defaultQuiet = TimeAmount.milliseconds(100)
  /// A directory in which something always happens must not put the look off for ever.
  package static let defaultPatience = TimeAmount.seconds(1)
  /// File systems keep time by the kernel's tick, which is up to this much behind the clock.
  private static let tick: Int64 = 10_000_000
  /// Surveys until watches and directories agree. Each is needed only where something has changed
  /// since the one before.
  private static let surveyLimit = 5

  private let queue = DispatchQueue(label: "portico.files")
  private let descriptor: Int32
  private let source: any DispatchSourceRead
  private let tell: @Sendable (Event) -> Void
  private var paths: [String] = []
  private var known: [String: Sight] = [:]
  private var watches: [Int32: FileSurvey.Interest] = [:]
  private var debounce: Debounce
  private var lastProblem: SystemError?

  package init(
    loop: EventLoop, quiet: TimeAmount = FileWatcher.defaultQuiet,
    patience: TimeAmount = FileWatcher.defaultPatience,
    onEvent: @escaping @Sendable (Event) -> Void
  ) throws(SystemError) {
    descriptor = try SystemError.check(portico_inotify(), "watch files for changes")
    debounce = Debounce(quiet: quiet, patience: patience)
    tell = { event in loop.post { onEvent(event) } }
    source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
    source.setEventHandler { [weak self] in self?.readEvents() }
    source.setCancelHandler { [descriptor] in _ = portico_close(descriptor) }
    source.activate()
  }

  deinit { source.cancel() }

  /// The clock to read before the files are loaded, for `watch`.
  package static func clock() -> Int64 { portico_realtime_ns() }

  /// Watches exactly these files and directories; call it at the start and after each reload.
  ///
  /// When it returns, changes are noticed. What changed while the files were being loaded is
  /// noticed too, if the time before that is given.
  ///
  /// - Parameter loadedAt: `clock()`, read before the first of the files was.
  package func watch(paths: [String], loadedAt: Int64? = nil) {
    queue.sync {
      self.paths = paths
      let before = known
      look()
      guard let loadedAt else { return }
      // Of what was known before, only another content counts: a file system whose clock is ahead
      // must not make us load again and again.
      let late = paths.filter { path in
        guard let sight = known[path], sight.content != .missing else { return false }
        return sight.changed >= loadedAt - Self.tick && before[path]?.content != sight.content
      }
      if !late.isEmpty { tell(.changed(late)) }
    }
  }

  // MARK: Events

  /// inotify's masks. Of a directory on the way, only which inode has a name matters.
  private static let entryEvents =
    UInt32(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)
  /// Written and closed, or made readable. Not each write: a writer that has not closed the file
  /// is not done.
  private static let fileEvents = UInt32(IN_CLOSE_WRITE | IN_ATTRIB)
  private static let selfEvents =
    UInt32(IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)

  private func readEvents() {
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    var isOfInterest = false
    while true {
      let count = Int(portico_read(descriptor, &buffer, buffer.count))
      guard count > 0 else { break }
      buffer.withUnsafeBytes { bytes in
        var rest = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        while let event = InotifyEvent(&rest) {
          if isInteresting(event) { isOfInterest = true }
        }
      }
    }
    if isOfInterest { wait() }
  }

  private func isInteresting(_ event: InotifyEvent) -> Bool {
    // Events were lost, so anything may have happened.
    if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return true }
    guard let interest = watches[event.watch] else { return false }
    if event.mask & Self.selfEvents != 0 { return true }
    return interest.names.contains(event.name)
      || interest.isIncluded && FileSurvey.isIncluded(event.name)
  }

  private func wait() {
    let now = EventLoop.now()
    let isWaiting = debounce.due != nil
    debounce.event(at: now)
    if !isWaiting { checkAgain(at: now) }
  }

  /// One check is under way at a time; events only put off what it will find.
  private func checkAgain(at now: Instant) {
    guard let due = debounce.due else { return }
    queue.asyncAfter(deadline: .now() + .nanoseconds(Int((due - now).nanoseconds))) {
      [weak self] in self?.check()
    }
  }

  private func check() {
    let now = EventLoop.now()
    guard let due = debounce.due, due <= now else { return checkAgain(at: now) }
    debounce.looked()
    let before = known
    look()
    let changed = paths.filter { known[$0]?.content != before[$0]?.content }
    if !changed.isEmpty { tell(.changed(changed)) }
  }

  // MARK: Looking

  /// Surveys the paths and watches every directory that matters, until a survey was made with all
  /// its watches in place: then nothing can have changed unseen in between.
  private func look() {
    for _ in 0..<Self.surveyLimit {
      let survey = FileSurvey(paths)
      known = survey.sights
      if !update(survey.interests) { return }
    }
    // Something changes faster than we look: come back when it has settled.
    wait()
  }

  /// - Returns: Whether a watch is new, or a directory has gone since it was seen.
  private func update(_ interests: [String: FileSurvey.Interest]) -> Bool {
    var isNew = false
    var current: [Int32: FileSurvey.Interest] = [:]
    for (directory, interest) in interests {
      let events = Self.entryEvents | (interest.holdsFiles ? Self.fileEvents : 0)
      let watch = portico_inotify_add(descriptor, directory, events)
      if watch < 0 {
        switch -watch {
        case ENOENT, ENOTDIR:
          isNew = true
        case EACCES where !interest.holdsFiles:
          // Directories on the way need not be readable, only to be passed through.
          break
        default:
          report(SystemError(code: -watch, action: "watch \(directory) for changes"))
        }
        continue
      }
      // The same directory may be reached by two ways, if it is mounted twice.
      var merged = current[watch] ?? FileSurvey.Interest()
      merged.names.formUnion(interest.names)
      merged.holdsFiles = merged.holdsFiles || interest.holdsFiles
      merged.isIncluded = merged.isIncluded || interest.isIncluded
      current[watch] = merged
      // One that was watched for its entries only has seen no writes so far.
      let old = watches[watch]
      if old.map({ merged.holdsFiles && !$0.holdsFiles }) ?? true { isNew = true }
    }
    for watch in watches.keys where current[watch] == nil {
      _ = portico_inotify_remove(descriptor, watch)
    }
    watches = current
    return isNew
  }

  private func report(_ problem: SystemError) {
    if problem == lastProblem { return }
    lastProblem = problem
    tell(.cannotWatch(problem))
  }
}

/// One record of what inotify sends.
struct InotifyEvent {
  let watch: Int32
  let mask: UInt32
  /// Empty for an event of the directory itself.
  let name: String

  /// Takes the first record off the bytes; nil at their end. The kernel sends whole ones only.
  init?(_ bytes: inout UnsafeRawBufferPointer) {
    let headSize = MemoryLayout<inotify_event>.size
    guard bytes.count >= headSize else { return nil }
    watch = bytes.loadUnaligned(fromByteOffset: 0, as: Int32.self)
    mask = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    let length = Int(bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    guard bytes.count >= headSize + length else { return nil }
    // Padded with zeros.
    name = String(decoding: bytes[headSize..<headSize + length].prefix { $0 != 0 }, as: UTF8.self)
    bytes = UnsafeRawBufferPointer(rebasing: bytes[(headSize + length)...])
  }
}
